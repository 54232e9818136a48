"""Runs vectors (testdata/vectors/README.md) through a verifier: `python3 verify.py --vectors DIR`. They are laid in a temporary directory."""
import base64, os, pathlib, tempfile, time
KNOWN = ("expect", "comment", "bundle", "form", "stream", "threshold", "policy", "time", "state", "machine", "option", "signatures")
PEM = b"-----BEGIN PUBLIC KEY-----\n%s-----END PUBLIC KEY-----\n"
DER = bytes.fromhex("302a300506032b6570032100")


def lay(path, directory):
    """The file: lays what it gives below the directory. Returns its lines, what is to be verified, the files of the keys, and what else is given."""
    head, keys, more, bundle = {}, [], {}, os.path.join(directory, "bundle")
    make = {
        "file": lambda at, size: at.write_bytes(vector.read(int(size))) + len(vector.readline()) and at.chmod(0o644),
        "grow": lambda at, size: os.truncate(at, int(size)),
        "link": lambda at, to: os.symlink(to, at),
        "fifo": lambda at, _: os.mkfifo(at),
        "directory": lambda at, _: os.mkdir(at) or at.chmod(0o755),
        "mode": lambda at, octal: at.chmod(int(octal, 8)),
    }
    os.mkdir(bundle)
    with open(path, "rb") as vector:
        if vector.readline() != b"packmule vector 1\n":
            raise ValueError("not a vector")
        for line in iter(vector.readline, b""):
            key, value = line.decode("ascii").rstrip("\n").split(": ", 1)
            name, _, rest = value.partition(" ")
            if key in make:
                make[key](pathlib.Path(bundle, name), rest)
            elif key == "key":
                keys.append(pathlib.Path(directory, "%d.pem" % len(keys)))
                keys[-1].write_bytes(PEM % base64.encodebytes(DER + bytes.fromhex(value)))
            elif key not in KNOWN or key == "option" and value != "allow-stale":
                raise ValueError("unknown line: " + line.decode("ascii"))
            elif key in ("policy", "state"):
                more.update({key: os.path.join(bundle, value), "machine": more.get("machine", "")})
            elif key in ("time", "machine"):
                more[key] = value
            elif key == "option":
                more["stale"] = True
            elif key == "signatures":
                more.setdefault(key, []).append(os.path.join(bundle, value))
            else:
                head[key] = int(value) if key == "threshold" else value
    return head, os.path.join(bundle, head.get("stream", head["bundle"] + ".json")), keys, more


def run(folder, verdict, shown):
    """Every vector of a folder. Returns the exit code: 0 if the verdict of each is the one that it expects."""
    begin, names, agreed = time.time(), sorted(set(os.listdir(folder)) - {"README.md"}), 0
    for name in names:
        faults = []
        with tempfile.TemporaryDirectory() as directory:
            try:
                head, place, keys, more = lay(os.path.join(folder, name), directory)
                expected, found = head["expect"], verdict(faults, place, keys, head.get("threshold"), **more)[1]
            except ValueError as error:
                expected, found = "a verdict", "that it cannot be run (%s)" % error
        agreed += found == expected
        if found != expected:
            print("%s: expected %s, found %s: %s" % (name, expected, found, "; ".join(map(shown, faults))))
    print("%d vectors, %d agree, %d do not; %.0f s" % (len(names), agreed, len(names) - agreed, time.time() - begin))
    return 0 if names and agreed == len(names) else 1
