"""Two images mixed by hand."""
