"""Whom to believe, for verify.py: keys, signatures, policies and states, and below them what both files read with (files, JSON, refusals).

Nothing here writes, and nothing is taken from the environment but the clock, the caller's user id and /etc/machine-id."""
import base64, calendar, collections, contextlib, functools, hashlib, json, os, pathlib, re, stat, time, tomllib
import ml_dsa
CLASSES = {"PASS": 0, "FMT": 10, "INT": 11, "SIG": 12, "TRUST": 13, "STALE": 14, "POLICY": 15, "USAGE": 2, "IO": 22}  # cli.md, Exit codes
KIB, MIB, MAX_INTEGER = 1 << 10, 1 << 20, (1 << 53) - 1
Refused = type("Refused", (Exception,), {})  # its arguments are the class and the fault
def require(holds, kind, fault):
    if not holds: raise Refused(kind, fault)
def attempt(faults, work, *given):  # verification.md, Order: where a fault does not end the work. Gives what work gives, or None
    try: return work(*given)
    except (Refused, OSError) as error:
        faults.append(error.args if type(error) is Refused else ("IO", str(error)))
# ==== Files and JSON
def length(path):  # bundle.md, Files: the size of a regular file, -1 where none is. Anything else there is IO and not opened
    with contextlib.suppress(FileNotFoundError):
        info = os.lstat(path)
        require(stat.S_ISREG(info.st_mode), "IO", "%s: not a regular file" % path)
        return info.st_size
    return -1
def read(path, offset, size):  # no link is followed and nothing waited for, even if the file was just exchanged
    length(path)
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        require(stat.S_ISREG(os.fstat(file.fileno()).st_mode), "IO", "%s: not a regular file" % path)
        file.seek(offset)
        return file.read(size)
def read_whole(path, limit):  # verification.md, steps 1 and 2: the limit holds by the file's size; it is read once
    require(length(path) <= limit, "FMT", "%s: larger than %d bytes" % (path, limit))
    return read(path, 0, limit)
def followed(path, owners):  # policy.md, The file: where a link leads that nobody else can have made lead there
    def sure(at):
        info = os.lstat(at)
        is_open = stat.S_ISDIR(info.st_mode) and info.st_mode & 0o022 and not info.st_mode & stat.S_ISVTX
        require(info.st_uid in owners and not (is_open and not os.statvfs(at).f_flag & os.ST_RDONLY), "USAGE", "%s: others can change it" % at)
    if not os.path.islink(path): return path
    at, names, links = os.path.dirname(path) or ".", [os.path.basename(path)], 0
    sure(at)
    while names:
        name = names.pop(0)
        below = os.path.join(at, name)
        if os.path.islink(below) and name not in ("", ".", ".."):
            sure(below)
            links, target = links + 1, os.readlink(below)
            require(links <= 40, "USAGE", "%s: too many links" % path)
            at, names = "/" if target.startswith("/") else at, target.split("/") + names
            sure(at)
        elif not names: return below
        elif name not in ("", "."):
            at = below
            sure(at)
def read_own(path, limit, owners, kind="USAGE"):  # policy.md, The file: a plain file, who can write it
    try:
        with open(os.open(followed(path, owners) if kind == "USAGE" else path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            info = os.fstat(file.fileno())
            require(stat.S_ISREG(info.st_mode) and info.st_size <= limit, kind, "%s: no plain file, or above %d bytes" % (path, limit))
            require(not info.st_mode & 0o022 and info.st_uid in owners, kind, "%s: others can write it, or own it" % path)
            return file.read(limit)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise Refused(kind, "%s: %s" % (path, error))
Number = collections.namedtuple("Number", "text")  # as it is written
def integer(value, what):  # manifest.md, Canonical form, and closure.md, Walk: from 0 to 2^53 - 1, in its only spelling
    number = int(value.text) if type(value) is Number and re.fullmatch("0|[1-9][0-9]{0,15}", value.text) else -1
    require(0 <= number <= MAX_INTEGER, "FMT", "%s: not an integer, or above 2^53 - 1" % what)
    return number
def parse(raw, levels, what, pairs, number):  # RFC 8259, the nesting counted before anything recurses; int refuses NaN
    try:
        text, level = raw.decode("utf-8"), 0
        for bracket in re.findall(r"[][{}]", re.sub('"[^"]*"', "", text.replace("\\\\", "").replace('\\"', ""))):
            level += 1 if bracket in "[{" else -1
            require(level <= levels, "FMT", "%s: nested deeper than %d levels" % (what, levels))
        return json.loads(text, object_pairs_hook=pairs, parse_int=number, parse_float=number, parse_constant=int)
    except ValueError as error:
        raise Refused("FMT", "%s: not JSON: %s" % (what, error))
canonical = lambda value: json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode("utf-8", "surrogatepass")
def parse_canonical(raw, what):  # manifest.md, Canonical form. (A name twice is lost here; all allowed ones are ASCII)
    value, text = parse(raw, 8, what, dict, lambda text: integer(Number(text), what)), raw.decode("utf-8")
    plain = not re.search("[\0-\x1f\x7f-\x9f]", text) and "\\" not in text.replace("\\\\", "").replace('\\"', "")
    require(plain and canonical(value) == raw and type(value) is dict, "FMT", "%s: not an object in canonical form" % what)
    return value
def unbase64(text):  # signature.md, Envelope: base64 in its only spelling; else None
    with contextlib.suppress(ValueError):
        data = base64.b64decode(text, validate=True)
        return data if base64.b64encode(data).decode() == text else None
matches = lambda pattern, unless="(?!)": lambda v: type(v) is str and re.fullmatch(pattern, v) and not re.fullmatch(unless, v)
text_of = lambda low, high: lambda v: type(v) is str and low <= len(v.encode()) <= high
number_of = lambda low, high: lambda v: type(v) is int and low <= v <= high
list_of = lambda holds, low=0, high=MAX_INTEGER: lambda v: type(v) is list and low <= len(v) <= high and all(map(holds, v))
is_object, is_string, is_size = lambda v: type(v) is dict, lambda v: type(v) is str, number_of(0, MAX_INTEGER)
is_sha256, is_digest = matches("sha256:[0-9a-f]{64}"), matches("sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
is_channel = matches("[a-z0-9][a-z0-9_-]{0,30}")  # manifest.md, Members
def is_time(v):  # manifest.md, Members: Time. (The year 0 has the days of 2000.)
    found = type(v) is str and re.fullmatch("([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})Z", v)
    year, month, day, hour, minute, second = map(int, found.groups()) if found else [99] * 6
    return 1 <= month <= 12 and 1 <= day <= calendar.monthrange(year or 2000, month)[1] and hour < 24 and minute < 60 and second < 60
def check_members(entry, members, what, kind="FMT"):
    names = {name.rstrip("?"): name for name in members}
    for name, value in entry.items():
        require(name in names and members[names[name]](value), kind, "%s: unknown member or wrong value: %s" % (what, name))
    require(all(name.endswith("?") or name in entry for name in members), kind, "%s: a member is missing" % what)
def in_order(entries, what):  # manifest.md, Canonical form: by bytes (which is by code points), none twice
    require(all(a < b for a, b in zip(entries, entries[1:])), "FMT", "%s: not in order, or an entry twice" % what)
# ==== Ed25519
P, L = 2 ** 255 - 19, 2 ** 252 + 27742317777372353535851937790883648493
D, ROOT = -121665 * pow(121666, -1, P) % P, pow(2, (P - 1) // 4, P)  # of the curve -x^2 + y^2 = 1 + D x^2 y^2; a square root of -1
def add(p, q):  # The sum of two points, each held as X, Y, Z, T with x = X/Z, y = Y/Z, xy = T/Z. Holds for all points of this curve
    a, b, c, d = (p[1] - p[0]) * (q[1] - q[0]), (p[1] + p[0]) * (q[1] + q[0]), 2 * D * p[3] * q[3], 2 * p[2] * q[2]
    e, f, g, h = (b - a) % P, (d - c) % P, (d + c) % P, (b + a) % P
    return e * f % P, g * h % P, f * g % P, e * h % P
def times(n, p, total=(0, 1, 1, 0)):
    while n: total, p, n = add(total, p) if n & 1 else total, add(p, p), n >> 1
    return total
def encode(p):
    z = pow(p[2], -1, P)
    return (p[1] * z % P | (p[0] * z % P & 1) << 255).to_bytes(32, "little")
def decode(encoding):  # signature.md, Keys: the point whose canonical encoding this is, else None
    sign, y = divmod(int.from_bytes(encoding, "little"), 1 << 255)
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    x = x if x * x % P == square else x * ROOT % P
    valid, x = y < P and x * x % P == square and (x or not sign), x if x & 1 == sign else P - x
    return (x, y, 1, x * y % P) if valid else None
is_low_order = lambda p: encode(times(8, p)) == encode((0, 1, 1, 0))  # signature.md, Keys: holds for the eight that are listed there
BASE = decode((4 * pow(5, -1, P) % P).to_bytes(32, "little"))
def signature_holds(key, message, signature):  # signature.md, Keys: "verification is strict"
    r, s, (x, y, z, t) = signature[:32], int.from_bytes(signature[32:], "little"), decode(key)
    k = int.from_bytes(hashlib.sha512(r + key + message).digest(), "little") % L
    point = add(times(s, BASE), times(k, (P - x, y, z, P - t)))
    return len(signature) == 64 and s < L and encode(point) == r and not is_low_order(point)
# ==== Keys and signatures
Trust = collections.namedtuple("Trust", "keys ended threshold sections")  # keys: by keyid; ended: those past their end; sections: by channel
PEM = r"\s*-----BEGIN PUBLIC KEY-----\s([^-]+)-----END PUBLIC KEY-----\s*"
ALGORITHMS = {bytes.fromhex("302a300506032b6570032100"): 32,  # signature.md, Keys and ML-DSA: what stands before the key, and its length
              bytes.fromhex("308207b2300b0609608648016503040312038207a100"): 1952,
              bytes.fromhex("30820a32300b060960864801650304031303820a2100"): 2592}
STATEMENT = "application/vnd.packmule.statement.v1+json"
def load_key(path, content, keys):  # signature.md, Keys: adds it to the keys; gives its keyid
    block = re.fullmatch(PEM, content.decode("ascii", "replace")) if len(content) <= 64 * KIB else None
    der = unbase64("".join(block[1].split())) if block else None
    key = next((der[len(head):] for head, size in ALGORITHMS.items() if der and der.startswith(head) and len(der) == len(head) + size), None)
    require(key, "USAGE", "%s: not PEM of a public key of Ed25519, ML-DSA-65 or ML-DSA-87" % path)
    require(len(key) > 32 or decode(key) and not is_low_order(decode(key)), "USAGE", "%s: no point, or of low order" % path)
    keyid = hashlib.sha256(der).hexdigest()
    require(keyid not in keys, "USAGE", "%s: a key that is given twice" % path)
    keys[keyid] = key
    return keyid
def load_trust(files, threshold, policy, moment):  # signature.md, Who must have signed, point 4; cli.md, TRUST: keys or a policy
    if policy is not None:
        require(not files and threshold is None, "USAGE", "a policy, and keys or a threshold beside it")
        return load_policy(policy, moment)
    keys = {}
    def content(path):
        with open(path, "rb") as file: return file.read(64 * KIB + 1)
    for path in files: load_key(path, attempt([], content, path) or b"", keys)
    threshold = len(keys) if threshold is None else threshold
    require(keys and 1 <= threshold <= len(keys), "USAGE", "%d keys given, threshold %d" % (len(keys), threshold))
    return Trust(keys, set(), threshold, None)
def parse_envelope(path, raw):  # signature.md, Envelope: gives payloadType, payload, and pairs of keyid and signature
    form = lambda holds: require(holds, "FMT", "%s: not in its form" % path)
    envelope = parse_canonical(raw, path)
    form(set(envelope) == {"payload", "payloadType", "signatures"} and type(envelope["payload"]) is type(envelope["payloadType"]) is str)
    payload, signatures = unbase64(envelope["payload"]), envelope["signatures"]
    form(payload is not None and type(signatures) is list and len(signatures) <= 32)
    for entry in signatures:
        form(type(entry) is dict and set(entry) == {"keyid", "sig"} and type(entry["keyid"]) is type(entry["sig"]) is str)
        entry["sig"] = unbase64(entry["sig"])
        form(re.fullmatch("[0-9a-f]{64}", entry["keyid"]) and entry["sig"] and len(entry["sig"]) <= 64 * KIB)
    in_order([entry["keyid"] for entry in signatures], path)
    return envelope["payloadType"], payload, [(entry["keyid"], entry["sig"]) for entry in signatures]
def check_signatures(envelopes, manifest, keys, ended, threshold):  # signature.md, Statement, PAE, Who must have signed, Detached; steps 2 to 4
    parsed = [(path, *parse_envelope(path, raw)) for path, raw in envelopes]  # pairs of path and content. The form of all, first
    statement = b'{"digest":"sha256:%s","mediaType":"application/vnd.packmule.bundle.v1+json","size":%d}' % (
        hashlib.sha256(manifest).hexdigest().encode(), len(manifest))
    for path, kind, payload, _ in parsed: require((kind, payload) == (STATEMENT, statement), "SIG", "%s: not of this manifest" % path)
    pae, all_of = b"DSSEv1 42 %s %d %s" % (STATEMENT.encode(), len(statement), statement), set()
    for path, keyid, signature in ((path, *pair) for path, _, _, pairs in parsed for pair in pairs):
        key = keys.get(keyid)
        holds = key and (signature_holds if len(key) == 32 else ml_dsa.holds)(key, pae, signature)
        require(holds or not key, "SIG", "%s: bad signature of key %s" % (path, keyid))
        all_of.add(keyid)
    require(all_of, "SIG", "signed by nobody")
    known = (all_of & keys.keys()) - ended
    require(len(known) >= threshold, "TRUST", "signed by %s; known of these: %d, expected: %d" % (" ".join(sorted(all_of)), len(known), threshold))
    return known, all_of - keys.keys()
# ==== Policy
DOCUMENTS = {"application/vnd.oci.image.manifest.v1+json": "manifest", "application/vnd.docker.distribution.manifest.v2+json": "manifest",
             "application/vnd.oci.image.index.v1+json": "index", "application/vnd.docker.distribution.manifest.list.v2+json": "index"}
Entry = collections.namedtuple("Entry", "keyids holder role")
Document = collections.namedtuple("Document", "media_type artifact_type config layers children")  # config: of an index None; all as Descriptors
Descriptor = collections.namedtuple("Descriptor", "media_type digest size")
UNITS = {"": 1, "B": 1, "kB": 1000, **{p + "B": 1000 ** n for n, p in enumerate("KMGT", 1)}, **{p + "iB": 1024 ** n for n, p in enumerate("KMGT", 1)}}
def size_of(v):  # cli.md, Places: SIZE in bytes; else None
    found = type(v) is str and re.fullmatch(r"([0-9]{1,20})\s*([A-Za-z]*)", v)
    size = int(found[1]) * UNITS.get(found[2], 1 << 64) if found else 1 << 64
    return size if size < 1 << 64 and found[2] in UNITS else None
is_size_text = lambda v: size_of(v) is not None
def span_of(v):  # policy.md, limits.expires: seconds; else None
    found = type(v) is str and re.fullmatch("([0-9]+)([smhd])", v)
    return int(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[found[2]] if found and int(found[1]) < 1 << 32 else None
def seconds_of(v):  # of a time, since the year 0
    year, month, day, hour, minute, second = map(int, re.findall("[0-9]+", v))
    days = 365 * year + (year + 3) // 4 - (year + 99) // 100 + (year + 399) // 400 + day
    return ((days + sum(calendar.monthrange(year or 2000, m)[1] for m in range(1, month))) * 24 + hour) * 3600 + minute * 60 + second
is_until = lambda v: is_time(v) or is_string(v) and is_time(v + "T00:00:00Z")  # policy.md, [key.NAME]
is_over = lambda until, moment: moment >= until if len(until) > 10 else moment[:10] > until
is_word = lambda v: type(v) is str and v.strip() and not re.search("[\0-\x1f\x7f-\x9f]", v)
is_texts, is_patterns = list_of(is_string), list_of(is_string, 1)
within = lambda **members: lambda v: is_object(v) and all(name in members and members[name](value) for name, value in v.items())
KEY = {"public": lambda v: is_string(v) or is_patterns(v), "holder": is_word, "role": is_word, "until?": is_until}  # policy.md, [key.NAME]
SIZES, REFERRERS = {"bundle": is_size_text, "blob": is_size_text}, {"referrers": is_texts, "except": is_texts}

SECTION = {  # policy.md, [channel.NAME], [no_channel]
    "keys": list_of(is_string, 1), "threshold?": number_of(1, MAX_INTEGER), "roles?": is_texts, "repositories?": is_patterns,
    "tags?": is_patterns, "types?": is_patterns, "limits?": within(expires=lambda v: span_of(v), **SIZES), "epoch?": number_of(0, (1 << 63) - 1),
    "require?": within(bundle=list_of(matches("expires|sequence|previous")), **REFERRERS), "unknown_signatures?": matches("show|refuse")}
NO_CHANNEL = {name: holds for name, holds in SECTION.items() if name != "epoch?"} | {"limits?": within(**SIZES), "require?": within(**REFERRERS)}
def load_policy(path, moment):  # policy.md, The file, [key.NAME], [channel.NAME]
    owners, keys, entries, sections, ended = (0, os.geteuid()), {}, {}, {}, set()
    raw = read_own(path, 4 * MIB, owners)
    require(raw[:3] != b"\xef\xbb\xbf" and b"\r" not in raw, "USAGE", "%s: a byte order mark or a carriage return" % path)
    try: table = tomllib.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error: raise Refused("USAGE", "%s: not TOML: %s" % (path, error))
    tables = lambda v: is_object(v) and all(map(is_object, v.values()))
    check_members(table, {"version?": is_size, "key?": tables, "channel?": tables, "no_channel?": is_object}, path, "USAGE")
    for name, given in table.get("key", {}).items():
        check_members(given, KEY, "%s: key.%s" % (path, name), "USAGE")
        files = [os.path.join(os.path.dirname(path), file) for file in ([given["public"]] if is_string(given["public"]) else given["public"])]
        entries[name] = Entry({load_key(file, read_own(file, 64 * KIB, owners), keys) for file in files}, given["holder"], given["role"])
        ended |= entries[name].keyids if "until" in given and is_over(given["until"], moment) else set()
    for channel, given in [*table.get("channel", {}).items(), *([(None, table["no_channel"])] if "no_channel" in table else [])]:
        what = "%s: %s" % (path, "no_channel" if channel is None else "channel." + channel)
        require(channel is None or is_channel(channel), "USAGE", "%s: no channel can have this name" % what)
        check_members(given, NO_CHANNEL if channel is None else SECTION, what, "USAGE")
        require(entries.keys() >= set(given["keys"]) and len(set(given["keys"])) == len(given["keys"]), "USAGE", "%s: keys" % what)
        counted = [entries[name] for name in given["keys"]]
        holders, roles = {entry.holder for entry in counted}, {entry.role for entry in counted}
        require(given.get("threshold", 1) <= len(holders) and roles >= set(given.get("roles", [])), "USAGE", "%s: threshold or roles" % what)
        sections[channel] = {"threshold": len(holders), "epoch": 0, **ANY, **given, "keys": counted, "version": table.get("version", 0)}
    require(keys and sections, "USAGE", "%s: no key, or no section" % path)
    return Trust(keys, ended, 1, sections)
ANY = {"roles": [], "repositories": ["*"], "tags": ["*"], "types": ["*"], "limits": {}, "require": {}, "unknown_signatures": "show"}  # where nothing is said
def rules_of(sections, m, signers):  # policy.md, Order, points 2 and 3: the bundle's section, once holders and roles are enough
    if sections is None: return ANY  # --key: "one section without any rules"
    channel = m.get("channel")
    require(channel in sections, "POLICY", "no section for %s" % ("bundles without a channel" if channel is None else "channel " + channel))
    rules = sections[channel]
    counted = [entry for entry in rules["keys"] if entry.keyids <= signers]
    holders, roles = {entry.holder for entry in counted}, {entry.role for entry in counted}
    require(len(holders) >= rules["threshold"], "TRUST", "signed by %s; expected: %d holders" % (sorted(holders), rules["threshold"]))
    require(roles >= set(rules["roles"]), "TRUST", "signed for roles %s; expected: %s" % (sorted(roles), rules["roles"]))
    return rules
def fits(patterns, text):  # policy.md: in a pattern `*` is any text. Each part between two of them is taken where it comes first
    def one(pattern):
        first, *middle = pattern.split("*")
        if not middle: return text == pattern
        at, last = len(first), middle.pop()
        for part in middle:
            found = text.find(part, at)
            at = found + len(part) if found >= 0 else len(text) + 1
        return text.startswith(first) and text.endswith(last) and at + len(last) <= len(text)
    return any(map(one, patterns))
def forbidden(rules, m, unknown):  # policy.md, Order, point 3: all that the manifest alone shows
    sizes = [blob["size"] for blob in m["blobs"]]
    for a in m["artifacts"] + [a for a in m["absent"] if "repository" in a]:
        for name in {a["repository"], a.get("source", a["repository"])}:
            if not fits(rules["repositories"], name): yield "POLICY", "%s: not of repositories" % name
        if not all(fits(rules["tags"], tag) for tag in a.get("tags", [])): yield "POLICY", "%s: a tag that is not of tags" % a["repository"]
    for limit, size in (("bundle", sum(sizes)), ("blob", max(sizes))):
        if limit in rules["limits"] and size > size_of(rules["limits"][limit]): yield "POLICY", "%d bytes: above limits.%s" % (size, limit)
    ceiling = rules["limits"].get("expires", "366d" if "expires" in rules["require"].get("bundle", []) else None)
    if ceiling and ("expires" not in m or seconds_of(m["expires"]) - seconds_of(m["created"]) > span_of(ceiling)):
        yield "POLICY", "it expires never, or later than %s after it was made" % ceiling
    if "channel" in m and m["epoch"] != rules.get("epoch", m["epoch"]): yield "STALE", "epoch %d; expected: %d" % (m["epoch"], rules["epoch"])
    if unknown and rules["unknown_signatures"] == "refuse": yield "POLICY", "signed by unknown keys: %s" % " ".join(sorted(unknown))
CONFIGS = ("application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json")
STAND_INS = ("application/octet-stream", "application/json", "text/html", "")
EMPTY = ["%s:%s" % (name, hashlib.new(name, b"{}").hexdigest()) for name in ("sha256", "sha512")]
essence = lambda media_type: media_type.split(";")[0].strip(" \t").encode().lower().decode()  # of ASCII letters alone
is_file_system = lambda layer: essence(layer.media_type).startswith(("application/vnd.oci.image.layer.", "application/vnd.docker.image.rootfs."))
def is_image(document):  # policy.md, Images
    kind = document.config and essence(document.config.media_type)
    could_be = kind in STAND_INS or "docker" in document.media_type or any(map(is_file_system, document.layers))
    return document.config is not None and (kind in CONFIGS or could_be and document.config.digest not in EMPTY)
def types_of(document):  # policy.md, types: all that must be allowed
    own, config = [document.artifact_type] if document.artifact_type else [], document.config
    stated = [] if config is None else [config.media_type]
    if own and stated == ["application/vnd.oci.empty.v1+json"] and config.digest in EMPTY: stated = []
    return own + stated + [CONFIGS[0]] * bool(is_image(document) and not set(stated) & set(CONFIGS))
def unasked(rules, m, documents):  # policy.md, Order, point 4: types, and the referrers that images must bring. documents: all carried, by digest
    for digest, kind in ((digest, kind) for digest, document in documents.items() for kind in types_of(document)):
        if not fits(rules["types"], kind): yield "POLICY", "%s: not of types: %s" % (digest, kind)
    patterns, spared = rules["require"].get("referrers", []), rules["require"].get("except", [])
    def is_spared(layers): return layers and all(fits(spared, layer.media_type) and not is_file_system(layer) for layer in layers)
    is_document = lambda child: child.media_type in DOCUMENTS
    @functools.cache
    def leads(digest):  # to the manifest of an image
        document = documents.get(digest)
        below = [child.digest for child in document.children if is_document(child)] if document else []
        return document and (is_image(document) and not is_spared(document.layers) or any(map(leads, below)))
    def brought(repository, digest, pattern):
        has = lambda child: (repository, child.digest, pattern) in found or is_document(child) and child.digest in documents and not leads(child.digest)
        children = documents[digest].children
        return (repository, digest, pattern) in found or children and all(map(has, children))
    left_out, found = {a["digest"] for a in m["absent"] if a["reason"] != "base"}, set()
    for a, document in ((a, documents[a["digest"]]) for a in m["artifacts"]):
        says = any(layer.size and layer.digest not in EMPTY and layer.digest not in left_out for layer in document.layers)
        kind = document.artifact_type or document.config and document.config.media_type
        if "subject" in a and says and not is_image(document) and kind is not None:
            found |= {(a["repository"], a["subject"], pattern) for pattern in patterns if fits([pattern], kind)}
    for a in m["artifacts"]:
        lacks = [pattern for pattern in patterns if leads(a["digest"]) and not brought(a["repository"], a["digest"], pattern)]
        if lacks: yield "POLICY", "%s@%s: without a referrer of %s" % (a["repository"], a["digest"], lacks)
# ==== State
now = lambda: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
RECORD = {"channel": is_channel, "destination": is_string, "epoch": is_size, "format": matches(r"packmule\.state\.v1"), "id": is_sha256,
          "machine": matches("([0-9a-f]{64})?"), "policy?": number_of(1, MAX_INTEGER), "sequence": is_size}
def own_machine():  # state.md, Record: machine
    text = (attempt([], pathlib.Path("/etc/machine-id").read_bytes) or b"").strip()
    return hashlib.sha256(b"packmule state\n" + text).hexdigest() if text else ""
def read_record(path, channel, machine):  # state.md, Record: refused if it is damaged or of another machine
    record = parse_canonical(read_own(path, 64 * KIB, range(1 << 32), "STALE"), path)  # whoever owns it
    check_members(record, RECORD, path)
    place = hashlib.sha256(record["destination"].encode()).hexdigest()[:32] + ".json"
    require((record["channel"], place) == (channel, os.path.basename(path)), "STALE", "%s: of another channel or destination" % path)
    require(record["machine"] == machine, "STALE", "%s: of another machine" % path)
    return record
def check_order(m, bundle_id, rules, moment, state, machine, stale, notes):  # verification.md, step 7; state.md, At verify
    def refuse(fault):  # --allow-stale lifts it
        require(stale, "STALE", fault)
        notes.append("overlooked: " + fault)
    if moment >= m.get("expires", "~"): refuse("expired at %s" % m["expires"])
    if "channel" not in m or state is None: return notes.append("order not checked: no channel, or no state")
    folder, machine, faults = os.path.join(state, "import", m["channel"]), own_machine() if machine is None else machine, []
    names = sorted(filter(re.compile(r"[0-9a-f]{32}\.json").fullmatch, attempt(faults, os.listdir, folder) or []))
    records = list(filter(None, [attempt(faults, read_record, os.path.join(folder, name), m["channel"], machine) for name in names]))
    notes += ["order not checked against %s" % fault for _, fault in faults]
    if not records: return notes.append("order not checked: no record that can be used")
    version, held = rules.get("version"), max(record.get("policy", 0) for record in records)
    if version is None and held: notes.append("a policy of version %d let the last bundle in; keys alone have no rules" % held)
    require(version is None or version >= held, "STALE", "policy of version %s; held: %d" % (version, held))
    place, highest = (m["epoch"], m["sequence"]), max((record["epoch"], record["sequence"]) for record in records)
    held = {record["id"] for record in records if (record["epoch"], record["sequence"]) == highest}
    require(place != highest or held == {bundle_id}, "STALE", "epoch %d, sequence %d was of another bundle: %s" % (*highest, sorted(held)))
    if place < highest: refuse("epoch %d, sequence %d; held: %d, %d" % (*place, *highest))
    if place > highest and "previous" in rules["require"].get("bundle", []) and held != {m.get("previous")}:
        refuse("follows %s; held: %s" % (m.get("previous"), sorted(held)))
