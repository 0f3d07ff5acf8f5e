"""Images: files, folders and archives of them, and their data set."""
