"""Archives and compressed files: members opened in place, two readings of each."""
