#!/usr/bin/env python3
"""Verifies a packmule bundle of any form, using only the pages of this directory and the standard library.

    python3 verify.py BUNDLE --key PUB.pem... [--threshold N]    BUNDLE: DIR/NAME, NAME.json, its directory, a stream, or -
    python3 verify.py BUNDLE --policy trust.toml                 and with either also [--signatures FILE...] [--state DIR] [--allow-stale]
    python3 verify.py --vectors DIR                              every vector of a folder

Prints `PASS <bundle id>`, or `REFUSED <CLASS>: <fault>` for each fault, and exits as in cli.md; what was not checked goes to standard error.
Without --key and --policy it uses /etc/packmule/trust.toml; --state names the states to compare with. It writes nothing, and needs the program
`zstd` for packed frames. Read it along with the specification: each function names its section there. trust.py decides whom to trust."""
import argparse, bisect, collections, concurrent.futures, functools, hashlib, itertools, os, re, stat, struct, subprocess, sys
sys.dont_write_bytecode = True  # for the imports below
from trust import CLASSES, DOCUMENTS, KIB, MIB, MAX_INTEGER, Descriptor, Document, Number, Refused, attempt, canonical, check_members, check_order, \
    check_signatures, forbidden, in_order, integer, is_channel, is_digest, is_object, is_sha256, is_size, is_string, is_time, length, \
    list_of, load_trust, matches, now, number_of, parse, parse_canonical, read, read_whole, require, rules_of, text_of, unasked, unbase64
# ==== XXH64
M64 = (1 << 64) - 1
P1, P2, P3, P4, P5 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5
rotate = lambda x, bits: (x << bits | x >> (64 - bits)) & M64
mixed = lambda word: rotate(word * P2 & M64, 31) * P1 & M64
def xxh64(data):  # frame.md, Stored: XXH64 with seed 0, all 64 bits
    lanes, at, h = [P1 + P2 & M64, P2, 0, -P1 & M64], len(data) & ~31, P5
    for begin in range(0, at, 64 * KIB):
        words = struct.unpack_from("<%dQ" % (min(64 * KIB, at - begin) // 8), data, begin)
        for i, lane in enumerate(lanes):
            for word in words[i::4]:
                lane = (lane + word * P2) & M64
                lane = (lane << 31 | lane >> 33) * P1 & M64
            lanes[i] = lane
    if at: h = functools.reduce(lambda h, lane: ((h ^ mixed(lane)) * P1 + P4) & M64, lanes, sum(map(rotate, lanes, (1, 7, 12, 18))) & M64)
    h = (h + len(data)) & M64
    while at < len(data):
        n = next(n for n in (8, 4, 1) if n <= len(data) - at)
        word, at = int.from_bytes(data[at:at + n], "little"), at + n
        turned = rotate(h ^ {8: mixed(word), 4: word * P1 & M64, 1: word * P5 & M64}[n], {8: 27, 4: 23, 1: 11}[n])
        h = {8: turned * P1 + P4, 4: turned * P2 + P3, 1: turned * P1}[n] & M64
    h = (h ^ h >> 33) * P2 & M64
    h = (h ^ h >> 29) * P3 & M64
    return h ^ h >> 32
# ==== Manifest
LABEL, COMPONENT = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
REPOSITORY = r"(?P<host>({0}(\.{0})*|\[[0-9a-f:.]{{2,45}}\])(:(?P<port>[1-9][0-9]{{0,4}}))?)/{1}(/{1})*".format(LABEL, COMPONENT)
def is_repository(v):  # manifest.md, artifacts
    found = text_of(1, 255)(v) and re.fullmatch(REPOSITORY, v)
    return found and (re.search("[.:]", found["host"]) or found["host"] == "localhost") and int(found["port"] or 1) <= 65535
is_name = matches("[a-z0-9]([a-z0-9_-]{0,46}[a-z0-9])?", "con|prn|aux|nul|(com|lpt)[0-9]")  # bundle.md, Name
is_tag = matches("[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", "sha(256|512)-[0-9a-f]{64}")
is_note = lambda pair: re.fullmatch("[ -~]{1,128}", pair[0]) and text_of(0, 64 * KIB)(pair[1])  # an annotation
MANIFEST = {  # manifest.md, Members and Limits
    "absent": list_of(is_object, 0, 500000), "annotations?": lambda v: is_object(v) and v and all(map(is_note, v.items())),
    "artifacts": list_of(is_object, 1), "bases": list_of(is_sha256), "blobs": list_of(is_object, 1, 500000),
    "channel?": is_channel, "created": is_time, "epoch?": is_size, "expires?": is_time, "form": matches("volumes|flat"),
    "format": is_string, "frames": list_of(is_object), "name": is_name, "previous?": is_sha256, "requires": list_of(is_string), "sequence?": is_size,
    "tool": lambda v: text_of(10, 100)(v) and v.startswith("packmule "), "volumes": list_of(is_object, 0, 9999)}
ENTRIES = {  # manifest.md, artifacts, absent, blobs, frames and volumes
    "artifacts": {"artifactType?": text_of(1, 255), "digest": is_digest, "mediaType": lambda v: is_string(v) and v in DOCUMENTS, "original?": is_digest,
                  "repository": is_repository, "size": number_of(1, 4 * MIB), "subject?": is_digest, "tags": list_of(is_tag)},
    "absent": {"digest": is_digest, "reason": matches("base|platform|foreign|missing"), "repository?": is_repository, "size": is_size},
    "blobs": {"digest": is_digest, "size": is_size},
    "frames": {"digest?": is_sha256, "plain": number_of(1, 16 * MIB), "size?": number_of(1, MAX_INTEGER)},
    "volumes": {"digest": is_sha256, "frames": number_of(1, MAX_INTEGER), "size": is_size}}
def check_manifest(raw, name, forms):  # manifest.md, all except the sums. verification.md, step 5
    m = parse_canonical(raw, "manifest")
    require(m.get("format") == "packmule.bundle.v1", "FMT", "manifest: another format: %s" % m.get("format"))
    require(m.get("requires") == [], "FMT", "manifest: needs %s, written by %s" % (m.get("requires"), m.get("tool")))
    check_members(m, MANIFEST, "manifest")
    for what, entry in ((what, entry) for what in ENTRIES for entry in m[what]):
        check_members(entry, ENTRIES[what], what)
    require(m["name"] == name and m["form"] in forms, "FMT", "manifest: its name is %s, or form flat in a stream" % m["name"])
    same = ("channel" in m) == ("epoch" in m) == ("sequence" in m) and ("channel" in m or not m.keys() & {"expires", "previous"})
    require(same, "FMT", "manifest: members that go with channel")
    require(all("size" not in f or "digest" in f and f["size"] < stored_size(f["plain"]) for f in m["frames"]), "FMT", "frames: a bad packed frame")
    blobs, agreed, tags = {blob["digest"] for blob in m["blobs"]}, {}, set()
    require(len(blobs) == len(m["blobs"]), "FMT", "blobs: a duplicate digest")
    for entries in (m["bases"], [(a["repository"], a["digest"]) for a in m["artifacts"]], [a["digest"] for a in m["absent"]]):
        in_order(entries, "bases, artifacts or absent")
    for a in m["artifacts"]:
        in_order(a["tags"], "tags")
        same, own = (a["mediaType"], a["size"], a.get("artifactType"), a.get("subject")), {(a["repository"], tag) for tag in a["tags"]}
        require(a["digest"] in blobs and agreed.setdefault(a["digest"], same) == same, "FMT", "artifact %s: entries disagree, or no blob" % a["digest"])
        require(not tags & own, "FMT", "artifact %s: another one has the same tag" % a["digest"])
        tags |= own
    holds = all(a["digest"] not in blobs and ("repository" not in a or a["reason"] == "base") for a in m["absent"])
    require(holds, "FMT", "absent: an entry is also in blobs, or has repository without base")
    return m
# ==== Tar stream
padding = lambda size: bytes(-size % 512)
def header(name, size, typeflag=b"0"):  # tar-stream.md, Header and Numbers
    number = b"%011o" % size if size < 8 << 30 else b"\x80" + size.to_bytes(11, "big")
    head = struct.pack("100s8s8s8s12s12s8s1s100s6s2s32s32s8s8s155s12x", name.encode("latin-1"), b"0000644", b"0000000", b"0000000", number,
                       b"02263523000", b" " * 8, typeflag, b"", b"ustar", b"00", b"", b"", b"0000000", b"0000000", b"")
    return head[:148] + b"%06o\0 " % sum(head) + head[156:]
def headers(path, size):  # tar-stream.md, sha512 blobs
    pax = header("pax", 151, b"x") + b"151 path=%s\n" % path.encode() + bytes(361)
    return header(path, size) if len(path) <= 100 else pax + header(path[13:113], size)
def index_json(m):  # tar-stream.md, index.json: in pieces, since it can be many times as long as the manifest
    begin = b'{"manifests":['
    for a in m["artifacts"]:
        for tag in a["tags"] or [None]:
            full = ["%s:%s" % (a["repository"], tag)] * 2
            named = {"annotations": dict(zip(("io.containerd.image.name", "org.opencontainers.image.ref.name"), full))} if tag is not None else {}
            yield begin + canonical({**named, **{name: a[name] for name in ("artifactType", "digest", "mediaType", "size") if name in a}})
            begin = b","
    yield b'],"mediaType":"application/vnd.oci.image.index.v1+json","schemaVersion":2}'
def files_of(m, index_size):  # tar-stream.md, Members, in order: path, size, digest of a blob, parts (computed bytes, or None for a blob's content)
    yield "oci-layout", 30, None, [b'{"imageLayoutVersion":"1.0.0"}']
    yield "index.json", index_size, None, index_json(m)
    yield from (("blobs/" + blob["digest"].replace(":", "/"), blob["size"], blob["digest"], [None]) for blob in m["blobs"])
def in_tar(files):  # the files (all there is in form `flat`) with headers and padding, and the end
    yield from ((path, size, digest, itertools.chain([headers(path, size)], parts, [padding(size)])) for path, size, digest, parts in files)
    yield "end", 1024, None, [bytes(1024)]
# ==== Frames and volumes
Frame = collections.namedtuple("Frame", "number plain digest packed start file offset size")  # start: offset in plain bytes; packed: None in form `flat`
def plan(m, index_size):  # manifest.md, Sums; frame.md, Boundaries. Returns where blobs begin, and the units: frames, and number of members
    flat, at, ends, contents, units, first, frames = m["form"] == "flat", 0, [], {}, [], 0, enumerate(m["frames"])
    for number, (path, size, digest, _) in enumerate(files_of(m, index_size)):
        begin = (ends[-1] if ends else 0) + (512 if len(path) <= 100 else 1536)
        ends.append(begin + size + len(padding(size)))
        units += [([Frame(number, size, None, None, at, number, 0, size)], 1)] if flat else []
        contents[digest], at = at if flat else begin, at + size
    ends, at = ends + [ends[-1] + 1024], 0
    require(ends[-1] < 1 << 64 and (not flat or m["frames"] == m["volumes"] == []), "FMT", "sums: 2^64 or more, or frames in form flat")
    sums = [sum(f["plain"] for f in m["frames"]), sum(v["frames"] for v in m["volumes"])]
    require(flat or sums == [ends[-1], len(m["frames"])], "FMT", "sums: plain of the frames, or frames of the volumes")
    require(flat or m["frames"][-1]["plain"] == 1024 and "size" not in m["frames"][-1], "FMT", "frames: the last one is not the end of the archive")
    for volume, v in enumerate(m["volumes"]):
        offset = 0
        for number, f in itertools.islice(frames, v["frames"]):
            end, fresh = at + f["plain"], at == (ends[first - 1] if first else 0)  # fresh: starts at the start of a member
            last = bisect.bisect_left(ends, end)  # the frame begins in member `first` and ends in member `last`
            require(last == first or fresh and ends[last] == end, "FMT", "frame %d: contains parts of several members" % number)
            units += [([], last - first + 1)] if fresh else []
            size = f.get("size") or stored_size(f["plain"])
            units[-1][0].append(Frame(number, f["plain"], f.get("digest"), "size" in f, at, volume, offset, size))
            at, first, offset = end, last + (ends[last] == end), offset + size
        require(offset == v["size"], "FMT", "sums: size of volume %d" % (volume + 1))
    return contents, units
stored_size = lambda plain: 14 + plain + 3 * -(-plain // (128 * KIB))  # frame.md, Stored
def stored_frame(plain):  # frame.md, Stored: all bytes of the frame
    blocks = [plain[at:at + 128 * KIB] for at in range(0, len(plain), 128 * KIB)]
    heads = [(len(block) * 8 + (number == len(blocks))).to_bytes(3, "little") for number, block in enumerate(blocks, 1)]
    start, checksum = b"\x28\xb5\x2f\xfd\x84\x38" + len(plain).to_bytes(4, "little"), (xxh64(plain) & 0xFFFFFFFF).to_bytes(4, "little")
    return b"".join([start, *itertools.chain(*zip(heads, blocks)), checksum])
def unpack(data, plain, what):  # frame.md, Packed: header and blocks by RFC 8878, then zstd, stopped after one byte too many
    require(data[:4] == b"\x28\xb5\x2f\xfd" and len(data) > 5 and data[4] & 15 == 4, "FMT", "%s: magic, reserved bit, dictionary or checksum" % what)
    single, flag, last = data[4] >> 5 & 1, data[4] >> 6, False
    at = 6 - single + (single, 2, 4, 8)[flag]
    content_size = int.from_bytes(data[6 - single:at], "little") + (flag == 1) * 256
    require(content_size == plain and (single or data[5] <= 0x70), "FMT", "%s: content size, or window" % what)
    while not last:
        block = int.from_bytes(data[at:at + 3], "little")
        require(at + 3 <= len(data) and block >> 1 & 3 != 3, "FMT", "%s: a block is missing" % what)
        last, at = block & 1, at + 3 + (1 if block >> 1 & 3 == 1 else block >> 3)
    require(at + 4 == len(data), "FMT", "%s: does not end at its last byte" % what)
    with subprocess.Popen(["zstd", "-d", "-c", "-q"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as zstd, \
            concurrent.futures.ThreadPoolExecutor() as pool:
        def feed():  # zstd may stop before the end
            with zstd.stdin as pipe: pipe.write(data)
        pool.submit(feed)
        out = zstd.stdout.read(plain + 1)
        zstd.stdout.close()
    require(zstd.returncode == 0 and len(out) == plain, "FMT", "%s: zstd refuses it, or its length is wrong" % what)
    return out
def unframe(data, frame):  # verification.md, A frame, points 1 to 3. Returns its content
    what, step = "volume %d, offset %d, frame %d" % (frame.file + 1, frame.offset, frame.number), 128 * KIB + 3
    require(len(data) == frame.size, "INT", "%s: an early end" % what)
    require(frame.digest in (None, "sha256:" + hashlib.sha256(data).hexdigest()), "INT", "%s: wrong digest" % what)
    if frame.packed:
        return unpack(data, frame.plain, what)
    plain = b"".join(data[at + 3:min(at + step, frame.size - 4)] for at in range(10, frame.size - 4, step))
    require(data == stored_frame(plain), "INT", "%s: wrong header, block headers or checksum" % what)
    return plain
def check_unit(plains, members, sound):  # verification.md, A frame, points 4 and 5. Returns how many bytes and blobs passed; adds blobs to sound
    plain, total = memoryview(b""), 0
    for path, whole, digest, parts in members:
        content = hashlib.new(digest[:6]) if digest else None
        for part in parts:
            at, size = 0, whole if part is None else len(part)
            while at < size:
                plain = plain or memoryview(next(plains, b""))
                require(plain, "INT", "%s: an early end" % path)
                piece, plain = plain[:size - at], plain[size - at:]
                require(part is None or piece == part[at:at + len(piece)], "INT", "%s: differs from the computed bytes" % path)
                content.update(piece) if part is None else None
                at += len(piece)
            total += size
        require(not content or content.hexdigest() == digest[7:], "INT", "%s: wrong content" % path)
        sound.update([digest] if content else [])
    return total, len(sound)
# ==== Closure
has_digest = lambda content, digest: hashlib.new(digest[:6], content).hexdigest() == digest[7:]
class Pairs(list):  # the members of an object in a document, in order, including duplicates
    def get(self, name, kind, what):  # closure.md, Walk: a member that is read occurs once; null counts as absent (None here)
        found = [value for key, value in self if key == name] + [None]
        require(len(found) <= 2 and (found[0] is None or type(found[0]) is kind), "FMT", "%s: %s occurs twice, or has a wrong type" % (what, name))
        require(kind is not str or not re.search("[\ud800-\udfff]", found[0] or ""), "FMT", "%s: lone surrogate in %s" % (what, name))
        return found[0]
def descriptor(value, what):  # closure.md, Walk: returns media type, digest and size, and whether its data is right
    require(type(value) is Pairs, "FMT", "%s: a descriptor is not an object" % what)
    media_type, digest, data = (value.get(name, str, what) for name in ("mediaType", "digest", "data"))
    size, content = integer(value.get("size", Number, what), what + ": size"), unbase64(data or "")
    require(media_type is not None and is_digest(digest), "FMT", "%s: wrong mediaType or digest of a descriptor" % what)
    return media_type, digest, size, data is None or content is not None and len(content) == size and has_digest(content, digest)
def check_document(raw, media_type, what):  # closure.md, Walk: the rules. Returns descriptors, artifactType, digest of subject
    document = parse(raw, 100, what, Pairs, Number)
    require(type(document) is Pairs, "FMT", "%s: not an object" % what)
    own, version = document.get("mediaType", str, what), document.get("schemaVersion", Number, what)
    require(version is None or integer(version, what + ": schemaVersion") != 1, "FMT", "%s: schemaVersion 1" % what)
    require(own == media_type or own is None and media_type.startswith("application/vnd.oci."), "FMT", "%s: wrong mediaType" % what)
    config, subject, layers = document.get("config", Pairs, what), document.get("subject", Pairs, what), document.get("layers", list, what)
    manifests = document.get("manifests", list, what)
    has = [config is not None, layers is not None, manifests is not None]
    require(has in {"manifest": ([1, 0, 0], [1, 1, 0]), "index": ([0, 0, 1],)}[DOCUMENTS[media_type]], "FMT", "%s: wrong members for its kind" % what)
    found = [descriptor(value, what) for value in (manifests if config is None else [config] + (layers or []))]
    subjects, artifact_type = [] if subject is None else [descriptor(subject, what)], document.get("artifactType", str, what) or None
    require(all(holds for *_, holds in found + subjects), "INT", "%s: wrong data of a descriptor" % what)
    return [Descriptor(*entry[:3]) for entry in found], artifact_type, subjects[0][1] if subjects else None
def closure(m, judge):  # closure.md: Walk, Equation, Absences. Yields digest and size of each document and is sent its content; None at the end
    sizes, listed = {blob["digest"]: blob["size"] for blob in m["blobs"]}, {entry["digest"]: entry["size"] for entry in m["blobs"] + m["absent"]}
    artifacts = {a["digest"]: (a.get("artifactType"), a.get("subject")) for a in m["artifacts"]}
    types, levels, below, carried = {}, {}, {}, {}  # of documents: media types, deepest levels, documents below, facts for a policy
    reached, leaves = set(), set()  # digests with sizes
    def arrive(media_type, digest, size, level):
        require(level <= 8, "FMT", "%s: at level 9" % digest)
        require(types.setdefault(digest, media_type) == media_type, "FMT", "%s: under two media types" % digest)
        reached.add((digest, size))
        if digest not in sizes or level <= levels.get(digest, 0): return  # absent, or everything below was already checked at this depth
        if digest not in below:
            require(1 <= sizes[digest] <= 4 * MIB, "FMT", "document %s: %d bytes" % (digest, sizes[digest]))
            found, *own = check_document((yield digest, sizes[digest]), media_type, "document " + digest)
            require(artifacts.get(digest, tuple(own)) == tuple(own), "FMT", "artifact %s: wrong artifactType or subject" % digest)
            documents = DOCUMENTS if DOCUMENTS[media_type] == "index" else ()  # media types that make an entry a document here
            below[digest] = [entry for entry in found if entry[0] in documents]
            carried[digest] = Document(media_type, own[0], *(None, [], found) if documents else (found[0], found[1:], []))
            leaves.update(entry[1:] for entry in found if entry[0] not in documents)
        levels[digest] = level
        for entry in below[digest]: yield from arrive(*entry, level + 1)
    for a in m["artifacts"]: yield from arrive(a["mediaType"], a["digest"], a["size"], 1)
    differ = (reached | leaves) ^ set(listed.items())
    require(not differ, "FMT", "not both reached and listed, or another size: %s" % sorted(differ)[:9])
    for a in m["absent"]:
        forbidden = {"base": reached, "foreign": reached, "platform": leaves, "missing": ()}[a["reason"]]
        require((a["digest"], a["size"]) not in forbidden, "FMT", "%s: absent with reason %s" % (a["digest"], a["reason"]))
    judge(carried)
    yield None
# ==== The forms
def check_beside(path, m, files, bundle_id, faults):  # bundle.md, Files and List: other files in the directory
    with os.scandir(os.path.dirname(path)) as entries:
        for entry in entries:
            found, info = re.fullmatch(re.escape(m["name"]) + r"\.([0-9]{4})\.tar\.zst", entry.name), entry.stat(follow_symlinks=False)
            if found and not 1 <= int(found[1]) <= len(files) and not (stat.S_ISREG(info.st_mode) and info.st_size == 0):
                faults.append(("INT", "%s: not one of the %d volumes of %s" % (entry.path, len(files), bundle_id)))
    sums = [(bundle_id, path + ".json")] + [(v["digest"], file) for v, (file, _) in zip(m["volumes"], files)] if files else []
    expected, file = "".join("%s  %s\n" % (digest[7:], os.path.basename(p)) for digest, p in sums).encode(), path + ".sha256"
    attempt(faults, lambda: require(length(file) <= 0 or read(file, 0, len(expected) + 1) == expected, "INT", "%s: differs" % file))
def check_below(root, files, outside, faults):  # bundle.md, flat: other entries there. Adds to outside what is in place of a directory
    directories = [root, root + "/blobs", root + "/blobs/sha256", root + "/blobs/sha512"]
    for path in filter(os.path.lexists, directories):
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            outside.append(path)
            faults.append(("IO", "%s: not a directory" % path))
        if not any(map(path.startswith, outside)):
            others = {os.path.join(path, name) for name in os.listdir(path)}.difference(files, directories)
            faults.extend(("INT", "%s: not a file of this bundle" % name) for name in sorted(others))
def from_files(units, files, outside, faults):  # forms `volumes` and `flat`. Yields each unit's plain bytes, or None if a file is unavailable
    def check_file(path, size):
        require(not any(map(path.startswith, outside)), "IO", "%s: its folder is not a directory" % path)
        require(length(path) == size, "INT", "%s: missing, or its length is not %d" % (path, size))
        return True
    def pieces(frames):
        for path, frame in ((files[frame.file][0], frame) for frame in frames):
            for at in range(0, frame.size, MIB) if frame.packed is None else ():
                yield read(path, at, min(MIB, frame.size - at))
            if frame.packed is not None:
                yield unframe(read(path, frame.offset, frame.size), frame)
    had = [attempt(faults, check_file, *file) for file in files]
    for frames, _ in units:
        yield pieces(frames) if all(had[frame.file] for frame in frames) else None
class Stream:  # bundle.md, stream: read once, from the first byte to the last
    def __init__(self, place):
        self.file, self.ended = open(0 if place == "-" else place, "rb", closefd=place != "-"), False
    def take(self, size, kind="INT"):
        self.ended = True  # unless all of it comes
        data = self.file.read(size)
        require(len(data) == size, kind, "the stream: an early end")
        self.ended = False
        return data
    def first(self, limit):  # one of the first two members: its name and content
        head = self.take(512, "FMT")
        name, octal = head[:100].split(b"\0")[0].decode("latin-1"), re.fullmatch(rb"([0-7]{11})\0", head[124:136])
        size = int(octal[1], 8) if octal else 0  # from 8 GiB it is over the limit anyway
        require(1 <= size <= limit and head == header(name, size), "FMT", "the stream: not a bundle, or over a limit: %s" % name)
        data = self.take(size + len(padding(size)), "FMT")
        require(not any(data[size:]), "FMT", "the stream: wrong padding of %s" % name)
        return name, data[:size]
    def rest(self, units, files, faults):  # yields each unit's plain bytes, or None after an early end
        def compare(made):
            attempt(faults, lambda: require(self.take(len(made)) == made, "INT", "the stream: wrong header or padding of a volume, or end"))
        def following(frame):
            if frame.offset == 0: compare((padding(files[frame.file - 1][1]) if frame.file else b"") + header(*files[frame.file]))
            return self.take(frame.size)
        for left in (iter(frames) for frames, _ in units):
            yield None if self.ended else (unframe(following(frame), frame) for frame in left)
            for frame in left: self.ended or attempt(faults, following, frame)  # the rest of the unit after a fault
        if not self.ended: compare(padding(files[-1][1]) + bytes(1024))
        if not self.ended and self.file.read(1):
            faults.append(("INT" if faults else "FMT", "the stream: trailing data"))
# ==== The whole
def check_content(m, units, contents, members, source, stream, rules, faults):  # verification.md, steps 9 and 10. Returns the counts of what passed
    walk = closure(m, lambda documents: faults.extend(unasked(rules, m, documents)))
    kept, total, passed = {}, 0, [0] * 4  # kept: possible documents, until the walk asks for them
    wanted = attempt(faults, next, walk)  # the document that the walk needs next; None after its end
    for plains, (frames, count) in zip(source, units):
        inside, sound, seen, begin = list(itertools.islice(members, count)), set(), [], frames[0].start
        keep = wanted and contents[wanted[0]] >= begin and sum(frame.plain for frame in frames) <= 16 * MIB  # as a document's unit is
        found = plains and attempt(faults, check_unit, (p for p in plains if not keep or seen.append(p) is None), inside, sound)
        passed = [a + b for a, b in zip(passed, (len(frames), count, *found))] if found else passed
        plain, alone = b"".join(seen), m["form"] == "volumes" and not stream and len(frames) == 1  # verification.md, Order: available documents
        for _, size, digest, _ in inside if keep else ():
            content = plain[contents[digest] - begin:][:min(size, 4 * MIB)]
            if digest in sound or alone and digest and has_digest(content, digest):
                kept[digest] = content if content.lstrip(b" \t\r\n")[:1] == b"{" else b""  # else it is not a document
                total += len(kept[digest])
        while wanted and wanted[0] in kept: wanted = attempt(faults, walk.send, kept.pop(wanted[0]))
        if wanted and stream and total > 256 * MIB: wanted = faults.append(("FMT", "the stream: more than 256 MiB of documents"))
    return passed + [wanted]
def verify(place, key_files, threshold, faults, policy=None, time=None, state=None, machine=None, stale=False, signatures=(), notes=None):
    """verification.md, Order. Returns the bundle id; adds to faults, and other remarks to notes. time: YYYY-MM-DDTHH:MM:SSZ, replaces the
    clock; state: the directory; machine: replaces this one's `machine` in records; stale: --allow-stale; signatures: detached files."""
    moment = time or now()
    trust, path, notes = load_trust(key_files, threshold, policy, moment), find(place), [] if notes is None else notes
    stream = None if path else Stream(place)
    if stream:
        (first, envelope), (second, raw) = stream.first(2 * MIB), stream.first(64 * MIB)
        path = second[:-5]
        require(is_name(path) and (first, second) == (path + ".sig.json", path + ".json"), "FMT", "the stream: begins with %s and %s" % (first, second))
        envelopes = [(first, envelope)]
    else:
        raw = os.lstat(path + ".json") and read_whole(path + ".json", 64 * MIB)  # lstat: IO if there is none
    require(raw[:1] == b"{" and raw[-1:] == b"}", "FMT", "%s.json: not a bundle" % path)
    if not stream:
        require(length(path + ".sig.json") > 0 or signatures, "SIG", "%s.sig.json: missing" % path)
        envelopes = [(path + ".sig.json", read_whole(path + ".sig.json", 2 * MIB))] if length(path + ".sig.json") > 0 else []
    for file in signatures:
        require(length(file) > 0, "IO", "%s: missing, or empty" % file)
        envelopes.append((file, read_whole(file, 2 * MIB)))
    signers, unknown = check_signatures(envelopes, raw, trust.keys, trust.ended, trust.threshold)
    notes += ["signed by an unknown key: " + keyid for keyid in sorted(unknown)]
    m, bundle_id = check_manifest(raw, os.path.basename(path), "volumes" if stream else "volumes|flat"), "sha256:" + hashlib.sha256(raw).hexdigest()
    index_size, flat = sum(map(len, index_json(m))), m["form"] == "flat"
    contents, units = plan(m, index_size)
    rules = rules_of(trust.sections, m, signers)
    faults.extend(forbidden(rules, m, unknown))
    if faults: return bundle_id
    check_order(m, bundle_id, rules, moment, state, machine, stale, notes)
    files, outside = [("%s.%04d.tar.zst" % (path, number + 1), v["size"]) for number, v in enumerate(m["volumes"])], []
    stream or check_beside(path, m, files, bundle_id, faults)
    if flat:
        files = [(path + ".oci/" + name, size) for name, size, _, _ in files_of(m, index_size)]
        check_below(path + ".oci", [file for file, _ in files], outside, faults)
    source = stream.rest(units, files, faults) if stream else from_files(units, files, outside, faults)
    passed = check_content(m, units, contents, files_of(m, index_size) if flat else in_tar(files_of(m, index_size)), source, stream, rules, faults)
    plain, count = sum(frame.plain for frames, _ in units for frame in frames), len(m["blobs"])  # The final gate
    if not faults and passed != [count + 2 if flat else len(m["frames"]), count + 2 if flat else count + 3, plain, count, None]:
        faults.append(("INT", "the final gate: not everything was checked"))
    return bundle_id
def verdict(faults, *given, **more):  # verification.md, Class: the bundle id and the class: the lowest of 10 to 15, only then another
    bundle_id = attempt(faults, functools.partial(verify, *given, faults, **more))
    kinds = sorted((kind for kind, _ in faults), key=lambda kind: (not 10 <= CLASSES[kind] <= 15, CLASSES[kind]))
    return bundle_id, kinds[0] if kinds else "PASS"
shown = lambda fault: "REFUSED %s: %s" % (fault[0], ascii(fault[1][:2000])[1:-1])  # verification.md, Class: strings from a bundle are escaped
def find(place):  # cli.md, Places: DIR/NAME, NAME.json or a directory with one bundle; None for a stream
    if place != "-" and (place.endswith(".json") or os.path.lexists(place + ".json") or not os.path.lexists(place)):
        return os.path.join(".", place[:-5] if place.endswith(".json") else place)
    if place == "-" or not os.path.isdir(place): return None
    names = [name[:-5] for name in os.listdir(place) if name.endswith(".json") and is_name(name[:-5])]
    require(len(names) == 1, "USAGE" if names else "IO", "%s: %d bundles in it" % (place, len(names)))
    return os.path.join(place, *names)
def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    parser.add_argument("place", metavar="BUNDLE|DIR")
    parser.add_argument("--vectors", action="store_true")
    parser.add_argument("--key", nargs="+", action="extend", default=[], metavar="PUB.pem")
    parser.add_argument("--threshold", type=int, metavar="N")
    parser.add_argument("--policy", metavar="FILE")
    parser.add_argument("--signatures", nargs="+", action="extend", default=[], metavar="FILE")
    parser.add_argument("--state", metavar="DIR")
    parser.add_argument("--allow-stale", action="store_true", dest="stale")
    given, faults, notes = parser.parse_args(), [], []
    policy = "/etc/packmule/trust.toml" if os.path.lexists("/etc/packmule/trust.toml") and not given.key else None  # policy.md
    if given.vectors:
        import vectors
        return vectors.run(given.place, verdict, shown)
    bundle_id, kind = verdict(faults, given.place, given.key, given.threshold, policy=given.policy or policy, state=given.state, stale=given.stale,
                              signatures=given.signatures, notes=notes)
    for note in notes: print(ascii(note)[1:-1], file=sys.stderr)
    print("\n".join(map(shown, faults)) or "PASS " + bundle_id, flush=True)
    return CLASSES[kind]
if __name__ == "__main__": sys.exit(main())
