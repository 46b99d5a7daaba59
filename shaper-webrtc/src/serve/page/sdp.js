// Session descriptions made of ICE, DTLS and RTP parameters. The server speaks none; here it is always the one that
// offers, so that payload types and extension ids are its own in both directions.
const CODECS_SENT = ['audio/opus', 'video/VP8'];

// What is sent of a kind: the router's parameters of the one codec, and of its retransmission.
function rtpToSend(capabilities, kind) {
  const main = capabilities.codecs.find((codec) => codec.kind === kind && CODECS_SENT.includes(codec.mimeType));
  const type = main.preferredPayloadType;
  const codecs = capabilities.codecs.filter((codec) => codec === main || codec.parameters.apt === type);
  return {
    codecs: codecs.map(({ mimeType, preferredPayloadType, clockRate, channels, parameters, rtcpFeedback }) => (
      { mimeType, payloadType: preferredPayloadType, clockRate, channels, parameters, rtcpFeedback })),
    headerExtensions: capabilities.headerExtensions
      .filter((extension) => extension.kind === kind)
      .map(({ uri, preferredId }) => ({ uri, id: preferredId })),
  };
}

// What this browser can receive of what the router forwards.
function rtpToReceive(capabilities) {
  const can = ['audio', 'video'].flatMap((kind) => RTCRtpReceiver.getCapabilities(kind)?.codecs ?? []);
  const known = (mimeType) => can.some((codec) => codec.mimeType.toLowerCase() === mimeType.toLowerCase());
  return { ...capabilities, codecs: capabilities.codecs.filter((codec) => known(codec.mimeType)) };
}

function codecLines({ mimeType, payloadType, clockRate, channels, parameters, rtcpFeedback }) {
  const name = mimeType.split('/')[1];
  const format = Object.entries(parameters ?? {}).map(([key, value]) => `${key}=${value}`).join(';');
  return [
    `a=rtpmap:${payloadType} ${name}/${clockRate}${channels > 1 ? `/${channels}` : ''}`,
    ...(format ? [`a=fmtp:${payloadType} ${format}`] : []),
    ...(rtcpFeedback ?? []).map(({ type, parameter }) => (
      `a=rtcp-fb:${payloadType} ${type}${parameter ? ` ${parameter}` : ''}`)),
  ];
}

// The media section of { kind, mid, direction, rtp, stream }.
function sectionLines(transport, section) {
  const { kind, mid, direction, rtp, stream } = section;
  const { iceParameters, iceCandidates, dtlsParameters } = transport;
  const lines = [
    `m=${kind} 9 UDP/TLS/RTP/SAVPF ${rtp.codecs.map((codec) => codec.payloadType).join(' ')}`,
    'c=IN IP4 0.0.0.0',
    `a=ice-ufrag:${iceParameters.usernameFragment}`,
    `a=ice-pwd:${iceParameters.password}`,
    ...dtlsParameters.fingerprints.map(({ algorithm, value }) => `a=fingerprint:${algorithm} ${value}`),
    'a=setup:actpass',
    ...iceCandidates.map((one) => (
      `a=candidate:${one.foundation} 1 ${one.protocol} ${one.priority} ${one.ip} ${one.port} typ ${one.type}`)),
    'a=end-of-candidates',
    `a=mid:${mid}`,
    `a=${direction}`,
    'a=rtcp-mux',
    'a=rtcp-rsize',
    ...rtp.headerExtensions.map(({ id, uri }) => `a=extmap:${id} ${uri}`),
    ...rtp.codecs.flatMap(codecLines),
  ];
  if (direction === 'sendonly') {
    const [{ ssrc, rtx }] = rtp.encodings;
    const cname = rtp.rtcp?.cname ?? 'shaper';
    lines.push(`a=msid:${stream} ${mid}`);
    if (rtx) lines.push(`a=ssrc-group:FID ${ssrc} ${rtx.ssrc}`);
    lines.push(...[ssrc, rtx?.ssrc].filter(Boolean).map((one) => `a=ssrc:${one} cname:${cname}`));
  }
  return lines;
}

// The server's offer: `version` counts those of one connection.
function offer(transport, sections, version) {
  return [
    'v=0',
    `o=- 1 ${version} IN IP4 127.0.0.1`,
    's=-',
    't=0 0',
    'a=ice-lite',
    `a=group:BUNDLE ${sections.map((section) => section.mid).join(' ')}`,
    ...sections.flatMap((section) => sectionLines(transport, section)),
    '',
  ].join('\r\n');
}

// The client's side of the handshake, which it begins.
function dtlsOf(answer) {
  const [, algorithm, value] = /^a=fingerprint:(\S+) (\S+)\r?$/m.exec(answer);
  return { role: 'client', fingerprints: [{ algorithm, value }] };
}

// The SSRCs of the answer's media section of that mid: with its retransmission, if it has one.
function encodingOf(answer, mid) {
  const section = answer.split(/^(?=m=)/m).find((part) => part.split('\r\n').includes(`a=mid:${mid}`));
  const group = /^a=ssrc-group:FID (\d+) (\d+)/m.exec(section);
  if (group) return { ssrc: Number(group[1]), rtx: { ssrc: Number(group[2]) } };
  return { ssrc: Number(/^a=ssrc:(\d+)/m.exec(section)[1]) };
}
