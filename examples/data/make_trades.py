#!/usr/bin/env python3
"""Write trades.jsonl: synthetic trades in Binance's documented trade stream format.

The output depends on nothing but this file: run it again and the bytes are the same.

    python3 examples/data/make_trades.py            # rewrites examples/data/trades.jsonl
    python3 examples/data/make_trades.py --check    # fails when the file is stale
"""

import heapq
import random
import sys
from decimal import Decimal
from pathlib import Path

SEED = 20240501
MESSAGES = 5_000
# 2024-05-01T00:00:00.000Z, in milliseconds since the Unix epoch.
START_MS = 1_714_521_600_000
# How long after the trade the exchange pushes the message, in milliseconds.
PUSH_DELAY_MS = (0, 1, 1, 1, 2, 2, 3, 5)
OUTPUT = Path(__file__).with_name("trades.jsonl")


class Symbol:
    """One instrument: a random walk of prices on its tick, trades in Poisson bursts."""

    def __init__(self, name, price, tick, lot, typical_notional, first_id, trades_per_second, seed):
        self.name = name
        self.price = Decimal(price)
        self.tick = Decimal(tick)
        self.lot = Decimal(lot)
        self.typical_notional = typical_notional
        self.trade_id = first_id
        self.rate = trades_per_second
        self.random = random.Random(seed)
        self.drift = 0.0

    def next_gap_ms(self):
        """A taker order often fills against several makers: a burst shares one millisecond."""
        if self.random.random() < 0.35:
            return 0.0
        return self.random.expovariate(self.rate * 0.65) * 1000.0

    def trade(self, time_ms):
        # The walk: mostly the best bid or ask again, sometimes a few ticks away, with a slow drift.
        self.drift = 0.98 * self.drift + self.random.gauss(0.0, 0.6)
        spread = float(self.price) * 0.000012 / float(self.tick)
        ticks = round(self.random.gauss(self.drift * 0.1, max(spread, 0.7)))
        self.price = max(self.tick, self.price + ticks * self.tick)
        notional = self.random.lognormvariate(0.0, 1.4) * self.typical_notional
        lots = max(1, round(notional / float(self.price) / float(self.lot)))
        buyer_is_maker = ticks < 0 or (ticks == 0 and self.random.random() < 0.5)
        self.trade_id += 1
        event_ms = time_ms + self.random.choice(PUSH_DELAY_MS)
        return event_ms, (
            f'{{"e":"trade","E":{event_ms},"s":"{self.name}","t":{self.trade_id},'
            f'"p":"{self.price:.8f}","q":"{lots * self.lot:.8f}","T":{time_ms},'
            f'"m":{"true" if buyer_is_maker else "false"},"M":true}}'
        )


def messages():
    symbols = [
        Symbol("BTCUSDT", "60672.00", "0.01", "0.00001", 350.0, 3_572_918_400, 22.0, SEED + 1),
        Symbol("ETHUSDT", "3014.05", "0.01", "0.0001", 260.0, 1_405_772_100, 14.0, SEED + 2),
        Symbol("SOLUSDT", "126.98", "0.01", "0.001", 180.0, 580_114_700, 9.0, SEED + 3),
        Symbol("BNBUSDT", "577.30", "0.10", "0.001", 210.0, 803_226_900, 5.0, SEED + 4),
    ]
    due = [(START_MS + symbol.next_gap_ms(), index) for index, symbol in enumerate(symbols)]
    heapq.heapify(due)
    pushed = 0
    for _ in range(MESSAGES):
        at, index = heapq.heappop(due)
        symbol = symbols[index]
        event_ms, line = symbol.trade(int(at))
        # One connection delivers in order of event time: a message never carries an earlier E.
        if event_ms < pushed:
            line = line.replace(f'"E":{event_ms}', f'"E":{pushed}', 1)
        pushed = max(pushed, event_ms)
        yield line
        heapq.heappush(due, (at + symbol.next_gap_ms(), index))


def main():
    text = "".join(f"{line}\n" for line in messages())
    if "--check" in sys.argv[1:]:
        if not OUTPUT.exists() or OUTPUT.read_text() != text:
            sys.exit(f"{OUTPUT} is stale: run python3 {sys.argv[0]}")
        return
    OUTPUT.write_text(text)


if __name__ == "__main__":
    main()
