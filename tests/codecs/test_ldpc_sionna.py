"""`LDPC5G` beside Sionna: the same tables, the same coded bits, and at least as few lost blocks."""

from importlib.resources import files

import numpy as np
import pytest
import torch
from test_ldpc import bpsk_llr, random_bits

from semcomm.codecs.ldpc import LDPC5G
from semcomm.codecs.ldpc.base_graphs import base_graph_entries
from semcomm.codecs.ldpc.kernel import decode_blocks
from semcomm.codecs.ldpc.nr import _plan
from semcomm.codecs.ldpc.segmentation import block_lengths, segment


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Keep Sionna from waiting for busy cores, which costs it far more than a second core gains."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("base_graph", [1, 2])
def test_base_graphs_are_sionnas(base_graph):
    lines = files("sionna.phy.fec.ldpc.codes").joinpath(f"5G_bg{base_graph}.csv").read_text().splitlines()[2:]
    row, expected = 0, []
    for fields in (line.split(";") for line in lines if line.strip(";")):
        row = int(fields[0]) if fields[0] else row
        expected.append([row, *map(int, fields[1:10])])
    assert np.array_equal(base_graph_entries(base_graph), expected)


# Single code blocks of every lifting set and both base graphs; low, middle and high rates; every modulation order.
SINGLE = [
    (1, 60, 1), (24, 100, 2), (100, 204, 4), (170, 240, 1), (292, 600, 6), (300, 344, 2), (300, 1480, 1), (500, 900, 4),
    (600, 1800, 6), (700, 1000, 8), (1000, 2000, 2), (1008, 2048, 1), (1500, 7400, 4), (2000, 2400, 6), (3000, 9000, 8),
    (3824, 6000, 2), (3824, 5000, 4), (3825, 8000, 2), (4200, 8448, 1), (5000, 7002, 6), (6500, 9000, 8),
    (8424, 16896, 1), (8424, 9200, 2), (8424, 25272, 6),
]  # fmt: skip


@pytest.mark.parametrize(("payload", "coded", "bits_per_symbol"), SINGLE)
def test_coded_bits_are_sionnas(payload, coded, bits_per_symbol):
    from sionna.phy.fec.ldpc import LDPC5GEncoder

    bits = random_bits(payload)
    sent = LDPC5G(max(0.2, payload / coded)).encode(bits, coded, bits_per_symbol)
    cut = segment(payload, coded)
    assert cut.blocks == 1
    encoder = LDPC5GEncoder(cut.block_bits, coded, bits_per_symbol, bg=f"bg{cut.base_graph}", device="cpu")
    assert encoder.z == cut.lifting_size
    expected = encoder(torch.from_numpy(cut.split(bits.numpy())).float())[0]
    assert torch.equal(sent.float(), expected)


@pytest.mark.parametrize(
    ("target", "coded", "bits_per_symbol"),
    [(500, 1000, 2), (3000, 5000, 4), (6000, 7200, 6), (9000, 18_004, 4), (4200, 18_000, 2)],
)
def test_whole_chain_is_sionnas(target, coded, bits_per_symbol):
    from sionna.phy.nr import TBDecoder, TBEncoder
    from sionna.phy.nr.utils import calculate_tb_size

    size = calculate_tb_size(
        bits_per_symbol, target_tb_size=target, num_coded_bits=coded, target_coderate=target / coded
    )
    payload = int(size[0])
    encoder = TBEncoder(payload, coded, payload / coded, bits_per_symbol, use_scrambler=False, device="cpu")
    assert encoder.tb_size == payload
    bits = random_bits(payload)
    expected = encoder(bits.float()[None])[0]

    code = LDPC5G(payload / coded)
    sent = code.encode(bits, coded, bits_per_symbol)
    assert torch.equal(sent.float(), expected)

    llr = bpsk_llr(sent, 6.0, payload / coded)
    theirs, crc_ok = TBDecoder(encoder, num_bp_iter=5)(llr[None])
    ours = code.decode(llr, payload, bits_per_symbol)
    assert crc_ok.all()
    assert ours.block_ok.all()
    assert torch.equal(ours.bits.float(), theirs[0])


@pytest.mark.parametrize(
    ("payload", "coded", "bits_per_symbol"), [(1000, 2000, 2), (9000, 13_500, 4), (4500, 17_000, 2)]
)
def test_sionna_as_decoder(payload, coded, bits_per_symbol):
    rate = payload / coded
    bits = random_bits(payload)
    sent = LDPC5G(rate).encode(bits, coded, bits_per_symbol)
    llr = bpsk_llr(sent, 3.5, rate)
    theirs = LDPC5G(rate, decoder="sionna", max_iterations=10).decode(llr, payload, bits_per_symbol)
    ours = LDPC5G(rate).decode(llr, payload, bits_per_symbol)
    assert torch.equal(theirs.bits, bits)
    assert all(torch.equal(a, b) for a, b in zip(theirs, ours, strict=True))
    nothing = LDPC5G(rate, decoder="sionna", max_iterations=2).decode(torch.zeros(coded), payload, bits_per_symbol)
    assert not nothing.block_ok.any()


@pytest.mark.parametrize(("payload", "rate", "ebno_db"), [(1008, 0.5, 1.1), (1008, 2 / 3, 1.8), (4200, 1 / 3, 0.55)])
def test_no_more_lost_blocks_than_sionna(payload, rate, ebno_db):
    from sionna.phy.fec.ldpc import LDPC5GDecoder, LDPC5GEncoder

    words, coded = 96 if payload < 2000 else 32, round(payload / rate)
    code, plan = LDPC5G(payload / coded), _plan(payload, coded, 1)
    bits = torch.stack([random_bits(payload, seed) for seed in range(words)])
    llr = torch.stack([bpsk_llr(code.encode(word, coded, 1), ebno_db, rate, i) for i, word in enumerate(bits)])
    assert block_lengths(plan.segmentation, coded, 1).tolist() == [coded]

    starts = np.arange(words + 1) * coded
    ours, _ = decode_blocks(llr.reshape(-1).numpy(), starts, plan.buffer, plan.schedule, code.max_iterations)
    encoder = LDPC5GEncoder(
        plan.segmentation.block_bits, coded, 1, bg=f"bg{plan.segmentation.base_graph}", device="cpu"
    )
    decoder = LDPC5GDecoder(encoder, cn_update="boxplus", num_iter=20, device="cpu")
    theirs = torch.cat([decoder(batch) for batch in llr.split(16)])
    lost_ours = (torch.from_numpy(ours)[:, :payload] != bits).any(dim=1).sum()
    lost_theirs = (theirs[:, :payload] != bits).any(dim=1).sum()
    assert 0 < lost_theirs < words
    assert lost_ours <= lost_theirs
