"""Money, states and signatures: values in, values out. Imports nothing but the standard library."""
