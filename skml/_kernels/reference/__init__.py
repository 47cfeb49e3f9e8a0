"""The NumPy twins: one file per kernel family, same names and signatures; the definition of what a kernel computes."""
