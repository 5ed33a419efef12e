"""The engine's random numbers and fixed head matrices in numpy, for scripts that hold Walsh against something else."""
import math

import numpy as np

RNG_INIT, RNG_SHUFFLE, RNG_AUGMENT, RNG_HEAD = 1, 2, 3, 4  # engine/base/rng.h: walsh_rng_purpose


def rng_words(seed, purpose, sub_stream, count):
    """The first two words of walsh_rng_words at positions 0 .. count-1 (Philox4x32-10), as uint64 arrays."""
    low = np.uint64(0xFFFFFFFF)
    index = np.arange(count, dtype=np.uint64)
    c = [index & low, index >> np.uint64(32), np.full_like(index, sub_stream), np.full_like(index, purpose)]
    key0, key1 = seed & 0xFFFFFFFF, seed >> 32
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(p1 >> np.uint64(32)) ^ c[1] ^ np.uint64(key0), p1 & low,
             (p0 >> np.uint64(32)) ^ c[3] ^ np.uint64(key1), p0 & low]
        key0, key1 = (key0 + 0x9E3779B9) & 0xFFFFFFFF, (key1 + 0xBB67AE85) & 0xFFFFFFFF
    return c[0], c[1]


def rng_uniform(seed, purpose, sub_stream, count):
    return (rng_words(seed, purpose, sub_stream, count)[0] >> np.uint64(8)).astype(np.float64) * 2.0**-24


def rng_normal(seed, purpose, sub_stream, count):
    word0, word1 = rng_words(seed, purpose, sub_stream, count)
    return np.sqrt(-2 * np.log((word0 + 1.0) * 2.0**-32)) * np.cos(2 * math.pi * (word1 * 2.0**-32))


def orthonormal_q(classes, features, seed):
    """[C][N], double precision. The Gaussian matrix G[c][n] = walsh_rng_normal(walsh_rng_make(seed, WALSH_RNG_HEAD, 0),
    c * N + n) by Gram-Schmidt: on its rows, c = 0, 1, ..., if C <= N, else on its columns, n = 0, 1, ...; no sign is
    left open, as R in G = QR has a positive diagonal. The engine rounds Q to float32."""
    gaussian = rng_normal(seed, RNG_HEAD, 0, classes * features).reshape(classes, features)
    q, r = np.linalg.qr(gaussian.T if classes <= features else gaussian)
    q = q * np.sign(np.diag(r))
    return q.T if classes <= features else q


def hadamard_q(classes, features):
    """[C][N] for N = 64 and C <= 128: Sylvester rows times Kerdock's diagonal of block a = 1; + rows, then - rows."""
    assert features == 64 and classes <= 2 * features
    degree, polynomial = 5, 0b100101  # GF(32) on X^5 + X^2 + 1, the smallest primitive polynomial

    def multiply(a, b):
        product = 0
        while b:
            product ^= a if b & 1 else 0
            a, b = a << 1, b >> 1
            a ^= polynomial if a >> degree else 0
        return product

    def power_of_two(z, j):  # z^(2^j)
        for _ in range(j):
            z = multiply(z, z)
        return z

    def trace(z):
        total = 0
        for i in range(degree):
            total ^= power_of_two(z, i)
        return total

    def diagonal(x):
        z, e = x >> 1, x & 1
        return (-1) ** (e * trace(z) + sum(trace(multiply(z, power_of_two(z, j))) for j in (1, 2)))

    def entry(c, x):
        return (1 if c < features else -1) * (-1) ** bin(c % features & x).count("1") * diagonal(x)

    return np.array([[entry(c, x) for x in range(features)] for c in range(classes)]) / math.sqrt(features)
