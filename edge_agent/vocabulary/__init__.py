"""The words of the local socket: `asks` holds their parameters, for both sides; the other files answer them."""
