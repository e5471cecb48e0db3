"""What all stages share; imports no stage."""
