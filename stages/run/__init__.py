"""Around the rooms: `dvc repro` with several cells at once, warm."""
