#!/usr/bin/env python3
"""gpu-check-table.py INT8.csv FP16.csv - how many times as fast the int8 operation is as the best
fp16 product of the same shape: a row per shape and number of rows, a column per number of outlier
columns. Cells below 1 are losses and stay."""
import csv
import sys


def rows_of(path):
    """The rows of tables one after another, each with the same head."""
    with open(path, newline="") as file:
        return [row for row in csv.DictReader(file) if row["n"] != "n"]


def main(int8_path, fp16_path):
    fp16 = {}
    for row in rows_of(fp16_path):
        time = float(row["median_us"])
        if time > 0:
            fp16[row["n"], row["k"], row["m"]] = time
    int8, columns = {}, []
    for row in rows_of(int8_path):
        key = row["n"], row["k"], row["m"]
        outliers = int(row["outlier_columns"])
        name = "all" if outliers == int(row["k"]) else str(outliers)
        if name not in columns:
            columns.append(name)
        int8.setdefault(key, {})[name] = float(row["median_us"])
    print("| N×K | M | fp16, µs |", " | ".join(f"{c} outlier columns" for c in columns), "|")
    print("|---|---|---|" + "---|" * len(columns))
    losses = total = 0
    for key, times in int8.items():
        base = fp16.get(key)
        cells = []
        for name in columns:
            if base is None or name not in times:
                cells.append("–")
                continue
            ratio = base / times[name]
            total += 1
            losses += ratio < 1
            cells.append(f"{ratio:.2f} ×")
        time = "–" if base is None else f"{base:.1f}"
        print(f"| {key[0]}×{key[1]} | {key[2]} | {time} |", " | ".join(cells), "|")
    print(f"\nint8 is slower in {losses} of {total} cells.")
    return 0 if total else 1


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
