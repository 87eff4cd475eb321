"""Rentals: machines that stay the company's and give water for as long, or as much, as was paid for."""
