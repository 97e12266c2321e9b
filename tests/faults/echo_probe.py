"""`python -m tests.faults.echo_probe PORT PATIENCE_S`: asks for echoes until its standard input ends, then prints JSON.

On one association that stays open, and with a new association for each question; times in milliseconds.
"""

from __future__ import annotations

import json
import sys
import threading
import time

from tests.dicom.raw_scu import EXPLICIT, RawSender

VERIFICATION = [("1.2.840.10008.1.1", [EXPLICIT])]


class Probe:
    def __init__(self, port: int, patience_s: float) -> None:
        self.standing_ms: list[float] = []
        self.new_ms: list[float] = []
        self.unanswered = 0
        self._port, self._patience_s, self._stopped = port, patience_s, threading.Event()

    def run(self) -> None:
        threads = [threading.Thread(target=self._standing), threading.Thread(target=self._new)]
        for thread in threads:
            thread.start()
        sys.stdin.read()
        self._stopped.set()
        for thread in threads:
            thread.join()

    def _standing(self) -> None:
        with RawSender(self._port, VERIFICATION, timeout_s=self._patience_s) as sender:
            while not self._stopped.wait(0.05):
                self._ask(sender, self.standing_ms, time.perf_counter())
            sender.release()

    def _new(self) -> None:
        while not self._stopped.wait(0.2):
            begun = time.perf_counter()
            with RawSender(self._port, VERIFICATION, timeout_s=self._patience_s) as sender:
                self._ask(sender, self.new_ms, begun)
                sender.release()

    def _ask(self, sender: RawSender, times: list[float], begun: float) -> None:
        (context,) = sender.accepted
        answer = sender.echo(context)
        if answer is None or answer.status != 0:
            self.unanswered += 1
        times.append(1000 * (time.perf_counter() - begun))


if __name__ == "__main__":
    probe = Probe(int(sys.argv[1]), float(sys.argv[2]))
    probe.run()
    print(json.dumps({"standing_ms": probe.standing_ms, "new_ms": probe.new_ms, "unanswered": probe.unanswered}))
