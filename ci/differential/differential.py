"""Sends the corpus through the proxy to a strict recording origin and to three real ones, and compares.

For each case and each origin: the requests that the origin saw whole are the ones that the proxy meant, which the
strict origin tells and the case expects; what must be refused was refused with a status that the case allows; and a
request that follows on another client connection is answered with its own answer, so that nothing was left behind in a
connection that the proxy keeps. The whole corpus goes to the strict origin a second time, byte by byte.
"""

import argparse
import os
import queue
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import servers
from corpus import Aim, Case, all_cases
from strict import Seen, StrictOrigin

PATIENCE = 15
NO_END = b"\r\n(no end in time)"
STATUS = re.compile(rb"(?m)^HTTP/1\.1 ([0-9]{3})[^\r\n]*\r\n")
LENGTH = re.compile(rb"(?mi)^Content-Length: ([0-9]+)\r\n")
ANSWERED = re.compile(rb"(?mi)^X-Seen: ([^\r\n]*)\r\n")


class Proxy:
    """Ringway on one core, so that one pool of upstream connections serves everybody."""

    def __init__(self, program: str, log: Path):
        core = min(os.sched_getaffinity(0))
        self.log = log.open("wb")
        self.process = subprocess.Popen(
            [program, "serve", "--listen", "127.0.0.1:0", "--cores", str(core), "--log", "debug"],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )
        self.port = self.wait_until_it_listens()
        threading.Thread(target=self.drain_log, daemon=True).start()

    def wait_until_it_listens(self) -> int:
        for line in self.process.stderr:
            self.log.write(line)
            if found := re.search(rb"listening.* address=127\.0\.0\.1:([0-9]+)", line):
                return int(found[1])
        raise RuntimeError("ringway does not start; see its log")

    def drain_log(self) -> None:
        for line in self.process.stderr:
            self.log.write(line)
        self.log.close()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE)


def exchange(port: int, request: bytes, piecewise: bool = False) -> bytes:
    """Sends it all, then FIN, and reads to the end. A reset is the end too."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if piecewise:
                for at in range(len(request)):
                    client.send(request[at:at + 1])
            else:
                client.sendall(request)
            client.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        try:
            while data := client.recv(65536):
                received += data
        except TimeoutError:
            return received + NO_END
        except OSError:
            pass
    return received


class Trial:
    """An origin that the corpus is aimed at."""

    def __init__(self, name: str, port: int, seen: "queue.Queue[Seen]", proxy: Proxy, piecewise: bool = False):
        self.name, self.port, self.seen, self.proxy = name, port, seen, proxy
        self.piecewise = piecewise
        # Targets of the cases of which the origin may see the beginning: it may notice the end of that late, behind the
        # request that is sent as a fence.
        self.may_begin: set[bytes] = set()
        self.authority = f"127.0.0.1:{port}"

    def run(self, case: Case, number: int) -> tuple[bytes, bytes, list[Seen], list[str]]:
        """The request, its answer, what the origin saw until a request that is sent behind, and what is wrong."""
        faults = []
        aim = Aim(self.authority, f"c{number}")
        if case.begun:
            self.may_begin.add(f"/c{number}/".encode())
        request = case.build(aim)
        answer = exchange(self.proxy.port, request, self.piecewise and len(request) < 4000)
        fence = f"/fence{number}".encode()
        line = b"GET http://" + self.authority.encode() + fence + b" HTTP/1.1"
        behind = exchange(self.proxy.port, Aim(self.authority, "").bare(line, b"Host: x", b"Connection: close"))
        if ANSWERED.findall(behind) != [fence] or not behind.startswith(b"HTTP/1.1 200 "):
            faults.append(f"the next request of another client was answered {behind[:300]!r}")
        return request, answer, self.take_until(fence, faults), faults

    def take_until(self, fence: bytes, faults: list[str]) -> list[Seen]:
        taken = []
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                seen = self.seen.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                faults.append("the next request of another client never came to the origin")
                return taken
            if seen.target == fence:
                if seen.body or not seen.whole or seen.method != b"GET":
                    faults.append(f"the next request of another client was seen as {seen.short()}")
                return taken
            late = not seen.whole and not seen.violation and seen.target.startswith(tuple(self.may_begin))
            if not late:
                taken.append(seen)


def meant(case: Case, aim: Aim) -> list[tuple[bytes, bytes, bytes]]:
    requests = []
    for method, name, body in case.requests:
        target = name if name == b"*" else aim.path(name)
        requests.append((method, target, body(aim) if callable(body) else body))
    return requests


def judge(case: Case, trial: Trial, number: int, answer: bytes, seen: list[Seen], strict: bool) -> list[str]:
    """What is wrong with what became of a case."""
    faults = [f"the origin saw {request.short()}" for request in seen if request.violation]
    expected = meant(case, Aim(trial.authority, f"c{number}"))
    whole = [(request.method, request.target, request.body) for request in seen if request.whole]
    begun = [request for request in seen if not request.whole and not request.violation]
    refuses = not strict and trial.name in case.may_refuse
    if whole != expected and not (refuses and is_part(whole, expected)):
        faults.append(f"the origin saw {describe(whole)}, meant were {describe(expected)}")
    if begun and not case.begun:
        faults.append(f"the origin saw the beginning of {begun[0].short()}")
    if NO_END in answer:
        faults.append("the connection did not end")
    if refuses and whole != expected:
        return faults
    answered = ANSWERED.findall(answer)
    if answered != [target for _, target, _ in expected]:
        faults.append(f"the client was answered for {answered}")
    return faults + judge_statuses(case, answer, len(expected))


def judge_statuses(case: Case, answer: bytes, served: int) -> list[str]:
    """Whether the proxy itself answered what it should, behind so many answers of the origin."""
    statuses = [int(status) for status in STATUS.findall(answer) if status != b"100"]
    own = statuses[served:]
    if not case.statuses:
        return [f"the client got {own} besides"] if own else []
    if case.begun and not own:
        return []
    if len(own) != 1 or own[0] not in case.statuses:
        return [f"instead of one of {case.statuses} the client got {own}"]
    *_, last = STATUS.finditer(answer)
    head, _, content = answer[last.start():].partition(b"\r\n\r\n")
    announced = LENGTH.search(head + b"\r\n")
    if not announced or int(announced[1]) != len(content):
        return [f"the refusal has {len(content)} bytes of content, which is not what it announces: {head!r}"]
    return []


def is_part(some: list, all_of_them: list) -> bool:
    rest = iter(all_of_them)
    return all(one in rest for one in some)


def describe(requests: list) -> str:
    short = [f"{method.decode('latin-1')} {target[:80]!r} body {body[:80]!r}" for method, target, body in requests]
    return "; ".join(short) or "nothing"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ringway", required=True, help="the program")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--verbose", action="store_true", help="also say what became of cases that passed")
    return parser.parse_args()


def run(options: argparse.Namespace, folder: Path) -> int:
    missing = [program for program in servers.REAL_ORIGINS if not shutil.which(program)]
    with ExitStack() as running:
        origins = []
        for program, start in servers.REAL_ORIGINS.items():
            if program not in missing:
                origins.append(start(folder))
                running.callback(origins[-1].stop)
        proxy = Proxy(options.ringway, folder / "ringway.log")
        running.callback(proxy.stop)
        strict = StrictOrigin()
        trials = [Trial("strict", strict.port, strict.seen, proxy)]
        trials += [Trial(origin.name, origin.port, origin.seen, proxy) for origin in origins]
        trials.append(Trial("strict, byte by byte", strict.port, strict.seen, proxy, piecewise=True))
        passed, failed = run_cases(options, trials)
        if proxy.process.poll() is not None:
            failed += 1
            print(f"FAIL ringway ended with {proxy.process.returncode}")
    print(f"origins: strict, {', '.join(origin.name for origin in origins)}; missing: {', '.join(missing) or 'none'}")
    print(f"differential: {passed} passed, {failed} failed, {len(missing)} skipped", flush=True)
    return 1 if failed or missing or not passed else 0


def run_cases(options: argparse.Namespace, trials: list[Trial]) -> tuple[int, int]:
    passed = failed = 0
    declined: dict[str, int] = {}
    for number, case in enumerate(all_cases()):
        if options.only not in case.name:
            continue
        faults: dict[str, list[str]] = {}
        for trial in trials:
            request, answer, seen, found = trial.run(case, number)
            found += judge(case, trial, number, answer, seen, strict=trial.name.startswith("strict"))
            if not found and sum(one.whole for one in seen) < len(case.requests):
                declined[trial.name] = declined.get(trial.name, 0) + 1
            for fault in found:
                faults.setdefault(fault.replace(trial.authority, "ORIGIN"), []).append(trial.name)
            if options.verbose:
                print(f"  {trial.name}: saw {[one.short() for one in seen]}, answered {answer[:100]!r}")
        if faults:
            failed += 1
            print(f"FAIL {case.name}\n     sent {request[:400]!r}")
            for fault, names in faults.items():
                print(f"     {' and '.join(names)}: {fault}", flush=True)
            continue
        passed += 1
        if options.verbose:
            print(f"pass {case.name}")
    for name, count in declined.items():
        print(f"{name} served less than was meant in {count} cases that allow it")
    return passed, failed


def main() -> int:
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="ringway-differential-") as folder:
        os.chmod(folder, 0o755)
        return run(options, Path(folder))


if __name__ == "__main__":
    sys.exit(main())
