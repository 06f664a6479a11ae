"""Find, hash, compile, cache and launch kernels; choose and describe backends."""
