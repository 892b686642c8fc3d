"""What makes the site of the documentation, and the pages that are generated."""
