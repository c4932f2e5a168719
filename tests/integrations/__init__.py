"""The rims of web frameworks, driven as clients drive them."""
