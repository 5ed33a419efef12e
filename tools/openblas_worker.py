"""OpenBLAS's sgemm as a contender of compare_pytorch.py: a line of JSON when it is ready, then, for each number read
from stdin, one with the median time of so many products. Arguments: a JSON object with size (of square matrices),
threads and library."""
import array
import ctypes
import json
import random
import statistics
import sys
import time

ROW_MAJOR, NO_TRANSPOSE = 101, 111  # of cblas.h


def matrix(size):
    block = array.array("f", (random.uniform(-1, 1) for _ in range(size)))
    return array.array("f", block * size)


def make_product(blas, n):
    a, b, c = (matrix(n) for _ in range(3))
    pointer = ctypes.POINTER(ctypes.c_float)
    at = [ctypes.cast(x.buffer_info()[0], pointer) for x in (a, b, c)]
    number, size = ctypes.c_float, ctypes.c_int
    blas.cblas_sgemm.argtypes = [size] * 6 + [number, pointer, size, pointer, size, number, pointer, size]
    blas.cblas_sgemm.restype = None

    def product(keep=(a, b, c)):
        blas.cblas_sgemm(ROW_MAJOR, NO_TRANSPOSE, NO_TRANSPOSE, n, n, n, 1.0, at[0], n, at[1], n, 0.0, at[2], n)

    return product


def tell(**facts):
    print(json.dumps(facts), flush=True)


def main():
    wanted = json.loads(sys.argv[1])
    blas = ctypes.CDLL(wanted["library"])
    blas.openblas_get_config.restype = ctypes.c_char_p
    blas.openblas_set_num_threads(wanted["threads"])
    product = make_product(blas, wanted["size"])
    product()
    tell(version=blas.openblas_get_config().decode())
    for line in sys.stdin:
        product()
        times = []
        for _ in range(int(line)):
            start = time.perf_counter()
            product()
            times.append(time.perf_counter() - start)
        tell(seconds=statistics.median(times))


if __name__ == "__main__":
    main()
