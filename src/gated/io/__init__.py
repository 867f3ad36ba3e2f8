"""People's files, read and written the same way by every task; each error names the file and the line."""
