"""What reaches outside the process: the alerter's API by HTTP, the drawing process, tzdata's country names."""
