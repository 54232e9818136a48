"""ML-DSA-65 and ML-DSA-87 (FIPS 204): whether a signature holds, for trust.py. Pure, with an empty context; it signs nothing and keeps no secret.

To be read beside FIPS 204: each function names its algorithm there. signature.md, ML-DSA, says which keys and messages there are."""
import collections, functools, hashlib
Q, N, D, ZETA = 8380417, 256, 13, 1753  # 4, Table 1: the modulus, the degree, the bits dropped from t, a 512th root of unity
GAMMA1, GAMMA2 = 1 << 19, (Q - 1) // 32  # of both parameter sets
Set = collections.namedtuple("Set", "k l tau beta omega challenge")  # challenge: its bytes, lambda / 4
SETS = {1952: Set(6, 5, 49, 196, 55, 48), 2592: Set(8, 7, 60, 120, 75, 64)}  # ML-DSA-65, ML-DSA-87, by the length of a public key
SIGNATURES = {1952: 3309, 2592: 4627}  # the length of their signatures
ZETAS = [pow(ZETA, int("{:08b}".format(i)[::-1], 2), Q) for i in range(N)]  # appendix B: the powers by their index's bits reversed


def shake256(size, *parts):  # 3.7: H
    return hashlib.shake_256(b"".join(parts)).digest(size)


def unpack(data, bits):  # algorithms 18 and 19, SimpleBitUnpack and BitUnpack: numbers of so many bits, the lowest first
    whole = int.from_bytes(data, "little")
    return [whole >> at & (1 << bits) - 1 for at in range(0, 8 * len(data), bits)]


def unpack_hints(data, s):  # algorithm 21, HintBitUnpack: k sets of positions, or None where their form is not the only one
    hints, begin = [], 0
    for end in data[s.omega:]:
        own = data[begin:end]
        if not begin <= end <= s.omega or any(a >= b for a, b in zip(own, own[1:])):
            return None
        hints.append(set(own))
        begin = end
    return None if any(data[begin:s.omega]) else hints


def sample_ntt(seed):  # algorithm 30, RejNTTPoly: three bytes a number, one bit left out, those from Q on passed over
    size = 1024
    while True:
        stream = hashlib.shake_128(seed).digest(3 * size)
        found = [value for value in (int.from_bytes(stream[at:at + 3], "little") & 0x7FFFFF for at in range(0, 3 * size, 3)) if value < Q]
        if len(found) >= N:
            return found[:N]
        size *= 2  # the same stream, further


@functools.lru_cache(64)
def expand(rho, s):  # algorithm 32, ExpandA: the matrix, in the NTT's domain
    return [[sample_ntt(rho + bytes([column, row])) for column in range(s.l)] for row in range(s.k)]


def sample_in_ball(seed, tau):  # algorithm 29, SampleInBall: tau numbers are 1 or -1, all others 0
    stream = hashlib.shake_256(seed).digest(8 + 4096)  # 4096 bytes: more are needed once in far more than 2^1000 times
    signs, following, c = int.from_bytes(stream[:8], "little"), iter(stream[8:]), [0] * N
    for number, i in enumerate(range(N - tau, N)):
        j = next(j for j in following if j <= i)
        c[i], c[j] = c[j], 1 - 2 * (signs >> number & 1)
    return c


def ntt(w):  # algorithm 41
    w, m, length = list(w), 0, 128
    while length:
        for start in range(0, N, 2 * length):
            m += 1
            for j in range(start, start + length):
                t = ZETAS[m] * w[j + length] % Q
                w[j], w[j + length] = w[j] + t, w[j] - t
        length //= 2
    return w


def inverse_ntt(w):  # algorithm 42
    w, m, length = list(w), N, 1
    while length < N:
        for start in range(0, N, 2 * length):
            m -= 1
            for j in range(start, start + length):
                w[j], w[j + length] = w[j] + w[j + length], ZETAS[m] * (w[j + length] - w[j]) % Q
        length *= 2
    return [value * pow(N, -1, Q) % Q for value in w]


def use_hint(hint, r):  # algorithms 36 and 40, Decompose and UseHint
    low = r % (2 * GAMMA2)
    low -= 2 * GAMMA2 if low > GAMMA2 else 0
    high, low = (0, low - 1) if r - low == Q - 1 else ((r - low) // (2 * GAMMA2), low)
    return (high + (1 if low > 0 else -1)) % 16 if hint else high


def holds(key, message, signature):  # algorithms 3 and 8, ML-DSA.Verify with an empty context, and 23 and 27, pkDecode and sigDecode
    s = SETS[len(key)]
    if len(signature) != SIGNATURES[len(key)]:
        return False
    middle = s.challenge + 640 * s.l
    z = [[GAMMA1 - value for value in unpack(signature[at:at + 640], 20)] for at in range(s.challenge, middle, 640)]
    hints = unpack_hints(signature[middle:], s)
    if hints is None or any(abs(value) >= GAMMA1 - s.beta for polynomial in z for value in polynomial):
        return False
    t = [ntt(value << D for value in unpack(key[at:at + 320], 10)) for at in range(32, len(key), 320)]
    mu = shake256(64, shake256(64, key), b"\0\0", message)  # 0: pure; 0: the length of the context
    c, z, packed = ntt(sample_in_ball(signature[:s.challenge], s.tau)), [ntt(polynomial) for polynomial in z], []
    for row, own, hint in zip(expand(key[:32], s), t, hints):
        w = inverse_ntt([sum(a[i] * b[i] for a, b in zip(row, z)) - c[i] * own[i] for i in range(N)])
        high = [use_hint(i in hint, value) for i, value in enumerate(w)]
        packed.append(bytes(a | b << 4 for a, b in zip(high[::2], high[1::2])))  # algorithm 28, w1Encode
    return shake256(s.challenge, mu, *packed) == signature[:s.challenge]
