"""Help beyond single commands: the topics, each a page built from what it explains, and the manual."""
