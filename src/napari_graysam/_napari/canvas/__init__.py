"""What lies on the canvas: the image, its region, its points and single masks."""
