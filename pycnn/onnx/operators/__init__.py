"""What nodes compute: a file a family, a function an operator (`registry`)."""
