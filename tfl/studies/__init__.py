"""A study: the same tasks by several networks, strategies, depths and numbers of training examples, over several seeds.

axes ─▶ cells ─▶ measure (one lean run folder per cell and seed) ─▶ compare ─▶ table ─▶ study.json · csv · md · tex · html
"""
