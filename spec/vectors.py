"""Runs vectors (testdata/vectors/README.md) through a verifier. They are laid in a temporary directory.

    python3 verify.py --vectors DIR              through verify.py
    python3 vectors.py DIR COMMAND...            through any command that takes what `packmule verify` takes (cli.md) and exits as it does
    python3 vectors.py DIR --plain COMMAND...    without links, FIFOs, modes and names that not every system has

A command has its own clock and machine: vectors with a time or a state are left out, and counted."""
import base64, os, pathlib, shutil, subprocess, sys, tempfile, time
KNOWN = ("expect", "comment", "bundle", "form", "stream", "threshold", "policy", "time", "state", "machine", "option", "signatures")
PEM = b"-----BEGIN PUBLIC KEY-----\n%s-----END PUBLIC KEY-----\n"
DER = bytes.fromhex("302a300506032b6570032100")
LeftOut = type("LeftOut", (Exception,), {})


def lay(path, directory, plain=False):
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
                if plain and (key in ("link", "fifo", "mode") or set('<>:"|?*\\') & set(name)):
                    raise LeftOut
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


def by(command):
    """The verdict of a command, from its exit status. It is started in the directory of the bundle, with relative paths, and a state where none is."""
    from trust import CLASSES

    def verdict(faults, place, keys, threshold, **more):
        if "time" in more or "state" in more:
            raise LeftOut
        at, given = os.path.dirname(place), [*command, "./" + os.path.basename(place), "--state", "../none"]
        files = {"--key": keys, "--policy": [more["policy"]] if "policy" in more else [], "--signatures": more.get("signatures", [])}
        for name, path in ((name, path) for name in files for path in files[name]):
            given += [name, os.path.relpath(path, at)]
        given += ["--threshold", str(threshold)] * (threshold is not None) + ["--allow-stale"] * more.get("stale", False)
        with tempfile.TemporaryFile() as told:
            status = subprocess.run(given, cwd=at, stdin=subprocess.DEVNULL, stdout=told, stderr=told, timeout=60).returncode
            told.seek(0)
            kind = next((kind for kind, code in CLASSES.items() if code == status), "exit status %d" % status)
            faults.append((kind, told.read().decode(errors="replace")))
        return None, kind
    return verdict


def run(folder, verdict, shown, plain=False):
    """Every vector of a folder. Returns the exit code: 0 if the verdict of each is the one that it expects."""
    begin, names, agreed, left = time.time(), sorted(set(os.listdir(folder)) - {"README.md"}), 0, 0
    for name in names:
        faults = []
        with tempfile.TemporaryDirectory() as directory:
            try:
                head, place, keys, more = lay(os.path.join(folder, name), directory, plain)
                expected, found = head["expect"], verdict(faults, place, keys, head.get("threshold"), **more)[1]
            except LeftOut:
                left += 1
                continue
            except ValueError as error:
                expected, found = "a verdict", "that it cannot be run (%s)" % error
        agreed += found == expected
        if found != expected:
            print("%s: expected %s, found %s: %s" % (name, expected, found, "; ".join(map(shown, faults))))
    ran = len(names) - left
    print("%d vectors, %d agree, %d do not, %d left out; %.0f s" % (len(names), agreed, ran - agreed, left, time.time() - begin))
    return 0 if ran and agreed == ran else 1


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    if len(sys.argv) < 3 + ("--plain" in sys.argv[2:3]):
        sys.exit(__doc__)
    plain = sys.argv[2] == "--plain"
    program, *args = sys.argv[2 + plain:]
    sys.exit(run(sys.argv[1], by([os.path.abspath(shutil.which(program) or program), *args]), lambda fault: " ".join(fault[1].split())[-300:], plain))
