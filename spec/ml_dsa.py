"""x"""
def holds(key, message, signature): return False
