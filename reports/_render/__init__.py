"""What people read: words, rows and charts, once for all formats."""
