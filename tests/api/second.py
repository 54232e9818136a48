"""Judges, by spec/verify.py, the files below a directory with bits flipped in every byte and cut at every byte, one after the other:
`second.py SPEC DIRECTORY PLACE KEY...`. Each KEY is in hex. Prints for each file a line: its path, the classes of its flips, the classes of its
cuts."""
import base64, functools, os, sys, tempfile

sys.dont_write_bytecode = True
SWEEP = "PACKMULE_TEST_SWEEP" in os.environ
sys.path.insert(0, sys.argv[1])
import trust, vectors, verify


def remember(where, name, key=lambda *given: given):
    """Has a function that gives the same for the same, called in verify.py or trust.py, not do it again and again."""
    work, known = getattr(where, name), {}

    def remembered(*given):
        of = key(*given)
        if of not in known:
            result = work(*given)  # a refusal is not remembered
            if len(known) > 999:
                known.clear()
            known[of] = result
        return known[of]
    setattr(where, name, remembered)


for name in ("check_manifest", "unpack", "xxh64"):
    remember(verify, name)
for name in ("decode", "is_low_order", "signature_holds"):
    remember(trust, name)
remember(verify, "load_trust", lambda files, threshold, policy, _: (tuple(files), threshold, policy))
remember(verify, "check_signatures", lambda envelopes, manifest, keys, ended, threshold: (tuple(envelopes), manifest, tuple(keys), tuple(ended), threshold))
remember(verify, "plan", lambda m, index_size: id(m))  # which check_manifest remembers

with tempfile.TemporaryDirectory() as away:
    root, place, keys = sys.argv[2], os.path.join(*sys.argv[2:4]), []
    for number, key in enumerate(sys.argv[4:]):
        keys.append(os.path.join(away, "%d.pem" % number))
        with open(keys[-1], "wb") as pem:
            pem.write(vectors.PEM % base64.encodebytes(vectors.DER + bytes.fromhex(key)))
    for path in sorted(os.path.relpath(os.path.join(below, name), root) for below, _, names in os.walk(root) for name in names):
        with open(os.path.join(root, path), "rb+", buffering=0) as file:
            content, changed, cut = file.read(), [], []

            def judge():
                return verify.verdict([], place, keys, None)[1]

            def write(what, at):
                os.pwrite(file.fileno(), what, at)

            for at, byte in enumerate(content):
                for bit in range(8) if SWEEP else [at % 8]:
                    write(bytes([byte ^ 1 << bit]), at)
                    changed.append(judge())
                write(bytes([byte]), at)
            for length in reversed(range(len(content))):
                file.truncate(length)
                cut.insert(0, judge())
            write(content, 0)
        print(path, *changed, *cut)
