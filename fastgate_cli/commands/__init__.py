"""One file a noun, or a verb that stands alone; each is imported when it is called."""
