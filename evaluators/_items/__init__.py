"""What is asked: suites, tasks, kinds of data, and the content keys of items."""
