// What getStats says, as figures of each second. Times in milliseconds, loss in percent, rates in kbit/s; null where
// nothing is known.
const FIGURES = [
  { key: 'trip', name: 'Round trip', unit: 'ms', digits: 0 },
  { key: 'jitter', name: 'Jitter', unit: 'ms', digits: 1 },
  { key: 'loss', name: 'Loss', unit: '%', digits: 1 },
  { key: 'rate', name: 'Rate', unit: 'kbit/s', digits: 0 },
];

// The connectivity checks' round trip over the pair in use.
function tripOf(reports) {
  const pair = reports.find((one) => (
    one.type === 'candidate-pair' && one.nominated && one.currentRoundTripTime !== undefined));
  return pair ? pair.currentRoundTripTime * 1000 : null;
}

// Sound if there is any: packets of one picture share a timestamp, so jitter of video is that of its sending too.
function jitterOf(streams) {
  const heard = streams.filter((one) => one.jitter !== undefined);
  const sound = heard.filter((one) => one.kind === 'audio');
  const jitters = (sound.length > 0 ? sound : heard).map((one) => one.jitter * 1000);
  return jitters.length > 0 ? Math.max(...jitters) : null;
}

const total = (streams, key) => streams.reduce((sum, one) => sum + (one[key] ?? 0), 0);

// One direction: from one look to the next.
class Meter {
  constructor(sends) {
    this.sends = sends;
    this.before = null;
    this.reports = new Map();
  }

  // Of what was sent between two reports of a stream: they come each second for pictures, each five for sound, and what
  // they bring belongs to all of that time.
  lossReported(judged, streams) {
    for (const { id, localId, timestamp, packetsLost = 0 } of judged) {
      const before = this.reports.get(id);
      if (before?.timestamp === timestamp) continue;
      const packetsSent = streams.find((one) => one.id === localId)?.packetsSent ?? 0;
      // The first is about everything until then.
      const seconds = before ? (timestamp - before.timestamp) / 1000 : 1;
      const lost = (packetsLost - (before?.packetsLost ?? 0)) / seconds;
      const sent = (packetsSent - (before?.packetsSent ?? 0)) / seconds;
      this.reports.set(id, { timestamp, packetsLost, packetsSent, lost, sent });
    }
    const known = [...this.reports.values()];
    const sent = total(known, 'sent');
    return sent > 0 ? total(known, 'lost') / sent : null;
  }

  async look(connection) {
    if (!connection || connection.connectionState === 'closed') return null;
    const reports = [...(await connection.getStats()).values()];
    // Probes of the bandwidth, of SSRC 0, are no media.
    const of = (type) => reports.filter((one) => one.type === type && one.ssrc !== 0);
    const streams = of(this.sends ? 'outbound-rtp' : 'inbound-rtp');
    const judged = this.sends ? of('remote-inbound-rtp') : streams;
    const now = {
      at: performance.now(),
      lost: total(streams, 'packetsLost'),
      expected: total(streams, 'packetsReceived') + total(streams, 'packetsLost'),
      bytes: total(streams, this.sends ? 'bytesSent' : 'bytesReceived'),
    };
    const before = this.before;
    this.before = now;
    const reported = judged.map((one) => one.roundTripTime).filter((one) => one !== undefined);
    const figures = {
      trip: reported.length > 0 ? Math.max(...reported) * 1000 : tripOf(reports),
      jitter: jitterOf(judged),
      loss: null,
      rate: null,
    };
    let loss = this.sends ? this.lossReported(judged, streams) : null;
    if (before && now.at > before.at && now.bytes >= before.bytes) {
      const expected = now.expected - before.expected;
      if (!this.sends && expected > 0) loss = (now.lost - before.lost) / expected;
      figures.rate = ((now.bytes - before.bytes) * 8) / (now.at - before.at);
    }
    if (loss !== null) figures.loss = Math.min(100, Math.max(0, loss * 100));
    return figures;
  }
}
