"""What was measured as pictures: for a page that answers, and as files for a paper."""
