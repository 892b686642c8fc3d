"""Records of the trainings that were measured, and the page of the documentation that is made of them."""
