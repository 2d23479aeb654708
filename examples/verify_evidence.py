#!/usr/bin/env python3
"""Verifies an evidence file or a contract file, independently of the program that wrote it.

    python3 verify_evidence.py evidence.json [trusted.toml]
    python3 verify_evidence.py contract.json [trusted.toml]

Needs Python 3.11 and the package `cryptography`; shares no code with entente. The exit codes are those of
`entente evidence verify` and `entente contract verify`. The one thing that is not computed again is the session id, a BLAKE3 digest of the contract and of all
nonces: here, all receipts must name the same one.
"""

import base64
import hashlib
import json
import sys
import tomllib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

CODES = {
    "form": 20, "contract": 21, "trust": 22, "approvals": 23, "approval": 24, "page": 25, "plan": 26, "opened": 27,
    "receipts": 28, "receipt": 29, "traffic": 30, "output": 31, "checkpoint": 32, "witness": 33, "inclusion": 34,
    "entries": 35, "growth": 36, "provenance": 37, "seal": 38, "attested": 39,
}
SPKI = bytes.fromhex("302a300506032b6570032100")
ORIGIN = "entente.log/"
FIELDS = {"format", "exporter", "exported", "contract", "acceptances", "pages", "plan", "opened", "receipts", "output",
          "logs", "provenance", "seal"}

OF_CONTRACT = {"format", "contract", "acceptances", "pages", "plan"}


class Fault(Exception):
    def __init__(self, check, what=""):
        super().__init__(what)
        self.check, self.what = check, what


def need(holds, check, what=""):
    if not holds:
        raise Fault(check, what)


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def strict(text, check):
    """JSON in canonical form: one text for one value."""
    try:
        value = json.loads(text, parse_float=lambda _: 1 / 0)
        need(canonical(value) == text, check, "not in canonical form")
        return value
    except (ValueError, ArithmeticError, RecursionError):
        raise Fault(check, "not canonical JSON") from None


def fingerprint(key):
    return "SHA256:" + base64.urlsafe_b64encode(sha256(SPKI, key)).rstrip(b"=").decode()


def is_signed(key, message, signature):
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
        return True
    except (InvalidSignature, ValueError):
        return False


def statement(signed, context, check, key=None, what=""):
    """The body of a signed document. `key`: the fingerprint that must have signed it."""
    try:
        body, public = signed["body"].encode(), bytes.fromhex(signed["public_key"])
        signature = bytes.fromhex(signed["signature"])
        need(set(signed) == {"body", "public_key", "signature"}, "form")
    except (KeyError, TypeError, ValueError, AttributeError):
        raise Fault("form", "a signed document lacks a part") from None
    need(key is None or fingerprint(public) == key, check, f"{what}: signed with another key")
    context = f"entente/v1/{context}".encode()
    message = b"DSSEv1 %d %s %d %s" % (len(context), context, len(body), body)
    need(is_signed(public, message, signature), check, f"{what}: the signature is not valid")
    return strict(body, check)


def digest(signed):
    return hashlib.sha256(signed["body"].encode()).hexdigest()


def note(text):
    """A C2SP checkpoint: owner, size, root, the signed text, and the lines of signature."""
    head, lines = text.split("\n\n", 1)
    origin, size, root = head.split("\n")
    need(origin.startswith(ORIGIN) and lines.endswith("\n") and str(int(size)) == size, "checkpoint")
    found = []
    for line in lines[:-1].split("\n"):
        dash, name, data = line.split(" ")
        need(dash == "\u2014" and name.startswith(ORIGIN), "checkpoint")
        data = base64.b64decode(data, validate=True)
        found.append((name, data[:4], data[4:]))
    return origin[len(ORIGIN):], int(size), base64.b64decode(root, validate=True), head + "\n", found


def checkpoint(text, check, what):
    try:
        return note(text)
    except (ValueError, Fault):
        raise Fault(check, what) from None


def key_number(name, kind, key):
    return sha256(name.encode(), b"\n", bytes([kind]), key)[:4]


def is_owned(parsed, key):
    owner, _, _, text, lines = parsed
    name = ORIGIN + owner
    return any(n == name and k == key_number(name, 1, key) and is_signed(key, text.encode(), s) for n, k, s in lines)


def is_witnessed(parsed, party, key):
    name, text = ORIGIN + party, parsed[3]
    for n, k, s in parsed[4]:
        if n == name and k == key_number(name, 4, key) and len(s) == 72:
            message = f"cosignature/v1\ntime {int.from_bytes(s[:8], 'big')}\n{text}"
            if is_signed(key, message.encode(), s[8:]):
                return True
    return False


def leaf(entry):
    return sha256(b"\0", entry)


def node(left, right):
    return sha256(b"\1", left, right)


def is_included(entry, index, size, path, root):
    """RFC 9162, 2.1.3.2."""
    if index >= size:
        return False
    fn, sn, r = index, size - 1, leaf(entry)
    for p in path:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            r = node(p, r)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node(r, p)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and r == root


def is_consistent(old, old_root, new, new_root, path):
    """RFC 9162, 2.1.4.2."""
    if not 0 < old <= new:
        return False
    if old == new:
        return not path and old_root == new_root
    path = ([old_root] if old & (old - 1) == 0 else []) + path
    if not path:
        return False
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for c in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = node(c, fr), node(c, sr)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node(sr, c)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and fr == old_root and sr == new_root


def persons(name, acceptance):
    """Those who have signed with keys of their own approve just this, in the order in which the acceptance names them."""
    rest = acceptance["approved_by"]
    for signed in acceptance.get("signed_by", []):
        person = statement(signed, "approve/person", "approval", what=f"a person of {name}")
        same = all(person[field] == acceptance[field] for field in ("job_id", "contract", "party", "pages"))
        need(same, "approval", f"{name}: a person has approved something else")
        label = f"{person['person']} ({fingerprint(bytes.fromhex(signed['public_key']))})"
        need(label in rest, "approval", f"{name}: a person who has signed is not named")
        rest = rest.split(label, 1)[1]


def approvals(contract, evidence):
    """Each party with its key, its acceptance and that document's digest."""
    seats = {}
    by_key = [fingerprint(bytes.fromhex(a["public_key"])) for a in evidence["acceptances"]]
    for party in contract["parties"]:
        name = party["name"]
        mine = [a for a, key in zip(evidence["acceptances"], by_key) if key == party["fingerprint"]]
        need(len(mine) == 1, "approvals", f"{name}: {len(mine)} approvals")
        acceptance = statement(mine[0], "contract/acceptance", "approval", party["fingerprint"], name)
        same = (acceptance["job_id"], acceptance["party"], acceptance["contract"], acceptance["plan"])
        wanted = (contract["job_id"], name, digest(evidence["contract"]), contract["plan"])
        need(same == wanted, "approval", f"{name}: for another contract or plan")
        persons(name, acceptance)
        seats[name] = (bytes.fromhex(mine[0]["public_key"]), acceptance, digest(mine[0]))
    need(len(evidence["acceptances"]) == len(seats), "approvals", "an approval of a stranger")
    return seats


def opened(plan):
    found = [{"kind": "result", "what": o["name"], "to": plan["receivers"]} for o in plan["outputs"]]
    kind = {"compare": "answer", "open_counts": "count"}.get(plan["shape"]["rule"])
    if kind:
        found += [{"kind": kind, "what": c["rule"], "to": plan["seats"]} for c in plan["shape"]["checks"]]
    procedure = plan["procedure"]
    of_model = procedure.get("vertical", {}).get("is_metered") if isinstance(procedure, dict) else None
    if isinstance(plan.get("meter"), dict) or of_model is True:
        is_left_out = isinstance(plan.get("meter"), dict) and plan["meter"].get("leave_one_out") is True
        for kind in ["contribution", "left_out"][:2 if is_left_out else 1]:
            found += [{"kind": kind, "what": holder, "to": plan["seats"]} for holder in sorted(plan["locals"])]
    return found + [{"kind": "learns", "what": learns["what"], "to": [learns["party"]]} for learns in plan["learns"]]


def agreed(contract, seats, evidence):
    pages = {lang: hashlib.sha256(text.encode()).hexdigest() for lang, text in evidence["pages"].items()}
    for name, (_, acceptance, _) in seats.items():
        need(acceptance["pages"] == pages, "page", f"{name} approved another one")
    need(hashlib.sha256(evidence["plan"].encode()).hexdigest() == contract["plan"], "plan")


def receipts(contract, seats, evidence):
    found = {}
    fingerprints = {p["name"]: p["fingerprint"] for p in contract["parties"]}
    for name in seats:
        need(name in evidence["receipts"], "receipts", f"none of {name}")
        receipt = statement(evidence["receipts"][name], "agent/receipt", "receipt", fingerprints[name], name)
        same = (receipt["job_id"], receipt["party"], receipt["contract"], receipt["plan"])
        need(same == (contract["job_id"], name, digest(evidence["contract"]), contract["plan"]), "receipt", name)
        is_receiver = name in contract["receivers"]
        need((receipt["output"] is not None) == is_receiver, "receipt", f"{name}: commits to a result")
        found[name] = receipt
    need(len(evidence["receipts"]) == len(seats), "receipts", "one of a stranger")
    need(len({r["session"] for r in found.values()}) == 1, "receipt", "of different runs")
    for a, first in found.items():
        for b, second in found.items():
            if a != b:
                sent, received = first["bytes_sent"].get(b, 0), second["bytes_received"].get(a, 0)
                need(sent == received, "traffic", f"{a} sent {sent}, {b} received {received}")
    return found


def output(evidence, found):
    need(evidence["exporter"] in found, "output", "the exporter is no party")
    shown = evidence["output"]
    if shown is not None:
        salt, result = bytes.fromhex(shown["salt"]), bytes.fromhex(shown["result"])
        shown = sha256(b"entente/v1/output\0", salt, result).hex()
    need(shown == found[evidence["exporter"]]["output"], "output")


def course(contract, name, seat, receipt, events):
    steps = []
    for event in events:
        (kind, told), = event.items()
        need(kind != "ended", "entries", f"{name}: ended otherwise")
        expected = {
            "proposed": {"contract": seat[1]["contract"], "plan": contract["plan"]},
            "accepted": {"acceptance": seat[2]},
            "started": {},
            "completed": {"receipt": receipt},
        }.get(kind)
        if expected is None:
            continue
        need(all(told[field] == value for field, value in expected.items()), "entries", f"{name}: {kind}")
        steps.append(kind)
    need(steps == ["proposed", "accepted", "started", "completed"], "entries", f"{name}: {steps}")


def logs(contract, seats, evidence):
    shown = {}
    for name, (key, _, _) in seats.items():
        need(name in evidence["logs"], "checkpoint", f"none of {name}")
        parsed = checkpoint(evidence["logs"][name]["checkpoint"], "checkpoint", name)
        need(is_owned(parsed, key) and parsed[0] == name, "checkpoint", name)
        shown[name] = parsed
    need(len(evidence["logs"]) == len(seats), "checkpoint", "one of a stranger")
    for name, parsed in shown.items():
        for witness, (key, _, _) in seats.items():
            need(witness == name or is_witnessed(parsed, witness, key), "witness", f"{name} by {witness}")
    for name, parsed in shown.items():
        events, following = [], 0
        for entry in evidence["logs"][name]["entries"]:
            text = entry["entry"].encode()
            told = strict(text, "entries")
            path = [bytes.fromhex(p) for p in entry["path"]]
            need(is_included(text, told["seq"], parsed[1], path, parsed[2]), "inclusion", f"{name} {told['seq']}")
            (_, fields), = told["event"].items()
            of_job = told["seq"] >= following and fields.get("job_id") == contract["job_id"]
            need(of_job, "entries", f"{name}: entry {told['seq']} is out of order or of another job")
            following = told["seq"] + 1
            events.append(told["event"])
        course(contract, name, seats[name], digest(evidence["receipts"][name]), events)
    growth(seats, shown, evidence)


def growth(seats, shown, evidence):
    for name, (_, size, root, _, _) in shown.items():
        proofs = {g["size"]: [bytes.fromhex(p) for p in g["path"]] for g in evidence["logs"][name]["growth"]}
        for other, (_, acceptance, _) in seats.items():
            for text in acceptance["seen"]:
                old = checkpoint(text, "growth", other)
                if old[0] != name or other == name:
                    continue
                need(is_owned(old, seats[name][0]), "growth", other)
                if old[1] == size:
                    need(old[2] == root, "growth", name)
                else:
                    need(old[1] in proofs, "growth", name)
                    need(is_consistent(old[1], old[2], size, root, proofs[old[1]]), "growth", name)


RELATIONS = {
    "used": ("prov:activity", "prov:entity"),
    "wasGeneratedBy": ("prov:entity", "prov:activity"),
    "wasAssociatedWith": ("prov:activity", "prov:agent"),
    "wasDerivedFrom": ("prov:generatedEntity", "prov:usedEntity"),
    "actedOnBehalfOf": ("prov:delegate", "prov:responsible"),
}


def provenance(contract, seats, found, evidence):
    document = evidence["provenance"]
    need(isinstance(document, dict), "provenance")
    known = {id for kind in ("entity", "activity", "agent") for id in document.get(kind, {})}
    for relation, ends in RELATIONS.items():
        for link in document.get(relation, {}).values():
            need(all(link.get(end) in known for end in ends), "provenance", f"{relation} names what is not there")
    digests = {"entente:contract": digest(evidence["contract"]), "entente:plan": contract["plan"]}
    digests |= {f"entente:catalogue/{h}": d for h, d in contract["catalogues"].items()}
    digests |= {f"entente:result/{r}": found[r]["output"] for r in contract["receivers"]}
    entities = {id: {"entente:sha256": d} for id, d in digests.items()}
    agents = {f"entente:party/{p['name']}": {"prov:type": "prov:Organization", "entente:key": p["fingerprint"]}
              for p in contract["parties"]}
    agents |= {f"entente:approver/{n}": {"entente:approved_by": s[1]["approved_by"]} for n, s in seats.items()}
    run = {f"entente:run/{contract['job_id']}": {"entente:job": contract["job"]}}
    same = (document.get("entity"), document.get("agent"), document.get("activity")) == (entities, agents, run)
    need(same, "provenance", "not what the documents say")


def facts(contract, seats, found, evidence):
    """What the documents show, under the five names that a notary is asked about."""
    plan = json.loads(evidence["plan"])
    usage = lambda use: use if isinstance(use, str) else canonical(use).decode()
    sent = {party: sum(receipt["bytes_sent"].values()) for party, receipt in found.items()}
    parties, of_plan = sorted(found), lambda field: plan.get(field) if isinstance(plan.get(field), str) else None
    learns = {p: sum(p in value["to"] for value in evidence["opened"]) for p in parties}
    keys = {p["name"]: p["fingerprint"] for p in contract["parties"]}
    persons = [fact for p in keys for fact in (("key", p, keys[p]), ("approved_by", p, seats[p][1]["approved_by"]))]
    admitted = [("catalogue", holder, contract["catalogues"][holder]) for holder in sorted(contract["catalogues"])]
    for holder in sorted(plan.get("locals", {})):
        admitted += [("use", f"{holder}.{u['table']}.{u['column']}", usage(u["usage"])) for u in plan["locals"][holder]["uses"]]
    authentic = sorted(("commitment", table, value) for table, value in plan.get("commitments", {}).items())
    authentic += [("result", p, found[p]["output"]) for p in parties if found[p]["output"] is not None]
    least = (plan.get("min_cell") or {}).get("at_least")
    leaked = [] if least is None else [("min_cell", "plan", least)]
    leaked += [fact for p in parties for fact in (("opened_to", p, learns[p]), ("bytes_sent", p, sent[p]))]
    safe = [("plan", "contract", contract["plan"])]
    safe += [(f, "plan", of_plan(f)) for f in ("manifest", "correlations", "dealer") if of_plan(f) is not None]
    safe += [("program", p, found[p]["engine"]) for p in parties]
    every = {"法人准入": persons, "数据准入": admitted, "数据真实性": authentic, "数据泄露": leaked, "模型安全性": safe}
    return [{"name": name, "shows": [{"fact": f, "of": of, "value": str(v)} for f, of, v in shows]}
            for name, shows in every.items()]


def attested(contract, seats, found, evidence):
    """The sections for a notary, and the body of the certificate of performance. Older files have none."""
    if "attested" not in evidence:
        return
    shown = evidence["attested"]
    need(isinstance(shown, dict) and set(shown) == {"sections", "certificate"}, "form", "attested")
    need(shown["sections"] == facts(contract, seats, found, evidence), "attested", "a section is not what is shown")
    keys = {p["name"]: p["fingerprint"] for p in contract["parties"]}
    body = statement(shown["certificate"], "agent/certificate", "attested", keys[evidence["exporter"]])
    log = []
    for name in sorted(evidence["logs"]):
        parsed = checkpoint(evidence["logs"][name]["checkpoint"], "checkpoint", name)
        receipt = digest(evidence["receipts"][name])
        log.append({"party": name, "receipt": receipt, "size": parsed[1], "root": parsed[2].hex()})
    job, plan = contract["job_id"], contract["plan"]
    wanted = {
        "proofId": f"{job}-{evidence['exporter']}", "contractId": job, "log": log,
        "timestamp": max(receipt["ended"] for receipt in found.values()),
        "strategyId": "-".join(plan[a:b] for a, b in ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))),
    }
    need(body == wanted, "attested", "the certificate is not what is shown")


def seal(contract, evidence):
    keys = {p["name"]: p["fingerprint"] for p in contract["parties"]}
    need(evidence["exporter"] in keys, "seal", "the exporter is no party")
    sealed = statement(evidence["seal"], "agent/evidence", "seal", keys[evidence["exporter"]])
    rest = {field: value for field, value in evidence.items() if field != "seal"}
    need(sealed["digest"] == hashlib.sha256(canonical(rest)).hexdigest(), "seal")


def verify(text, trust=None):
    evidence = strict(text, "form")
    need(isinstance(evidence, dict), "form", "no object")
    is_contract = evidence.get("format") == "entente-contract/1"
    need(is_contract or evidence.get("format") == "entente-evidence/1", "form", "another format")
    fields = OF_CONTRACT if is_contract else FIELDS
    # Files of before there were sections for a notary have none.
    more = set() if is_contract else {"attested"}
    need(fields <= set(evidence) <= fields | more, "form", "other fields than such a file has")
    contract = statement(evidence["contract"], "contract/proposal", "contract")
    keys = {p["name"]: p["fingerprint"] for p in contract["parties"]}
    signer = fingerprint(bytes.fromhex(evidence["contract"]["public_key"]))
    need(keys.get(contract["proposer"]) == signer, "contract", "not signed by its proposer")
    if trust is not None:
        for name, key in keys.items():
            need(trust.get(name) == key, "trust", name)
    seats = approvals(contract, evidence)
    if is_contract:
        order = [seats[p["name"]][2] for p in contract["parties"]]
        need([digest(a) for a in evidence["acceptances"]] == order, "approvals", "in another order than the parties")
    agreed(contract, seats, evidence)
    if is_contract:
        return contract
    need(opened(json.loads(evidence["plan"])) == evidence["opened"], "opened")
    found = receipts(contract, seats, evidence)
    output(evidence, found)
    logs(contract, seats, evidence)
    provenance(contract, seats, found, evidence)
    attested(contract, seats, found, evidence)
    seal(contract, evidence)
    return contract


def main(file, trusted=None):
    trust = None
    if trusted:
        with open(trusted, "rb") as pins:
            trust = {p["name"]: p["fingerprint"] for p in tomllib.load(pins)["party"]}
    try:
        with open(file, "rb") as text:
            contract = verify(text.read(), trust)
    except Fault as fault:
        print(f"{fault.check}: {fault.what}")
        return CODES[fault.check]
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        print(f"form: {error!r}")
        return CODES["form"]
    print(f"{contract['job']} ({contract['job_id']}): the file holds")
    for party in contract["parties"]:
        print(f"{party['name']}: {party['fingerprint']}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) if len(sys.argv) in (2, 3) else 2)
