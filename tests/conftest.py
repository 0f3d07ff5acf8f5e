import os

# Small torch steps spin for seconds on a loaded machine when OpenMP has more than one thread.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# The tests compile much and compute little: this halves their time on JAX.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
