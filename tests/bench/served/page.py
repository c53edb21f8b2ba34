"""docs/benchmarks/serving.md"""
def write(*a): pass
