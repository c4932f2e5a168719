"""What may answer before the store is asked, a file each."""
