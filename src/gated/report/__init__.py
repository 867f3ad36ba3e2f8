"""What is shown of results, for any task: tables as text, pictures in one palette, intervals."""
