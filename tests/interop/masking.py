def run(world, binary, check): pass
