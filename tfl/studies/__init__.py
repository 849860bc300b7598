"""A study: the same tasks by every network, strategy, depth and number of training examples that is asked for, over several seeds.

axes ─▶ cells ─▶ measure (one lean run folder per cell and seed) ─▶ compare ─▶ table ─▶ study.json · csv · md · tex · html
"""
