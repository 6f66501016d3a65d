"""Networks: a backbone (one file each) with a head (one file each)."""
