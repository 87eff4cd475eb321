"""Promotions: coupons, reductions, rewarded sharing, group buying, advertisements."""
