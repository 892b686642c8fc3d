"""Small lesions in large scans: what drawing unlabeled patches around the teacher's foreground is worth."""
