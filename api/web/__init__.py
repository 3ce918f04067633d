"""Pages for people: templates, one style sheet, one small script. Everything reads without JavaScript."""
