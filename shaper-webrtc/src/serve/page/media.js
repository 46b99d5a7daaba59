// What is sent: camera and microphone, or a test picture and a tone, which need neither.
const MEDIA_LIMITS = { width: [16, 1920], height: [16, 1080], fps: [1, 60] };

function within([least, most], value, otherwise) {
  const number = Number(value);
  return Number.isFinite(number) && number > 0 ? Math.min(most, Math.max(least, Math.round(number))) : otherwise;
}

// Width, height and pictures a second, as ?size=320x240&fps=15 says.
function pictureOf(query) {
  const [width, height] = (query.get('size') ?? '').split('x');
  return {
    width: within(MEDIA_LIMITS.width, width, 640),
    height: within(MEDIA_LIMITS.height, height, 480),
    fps: within(MEDIA_LIMITS.fps, query.get('fps'), 20),
  };
}

async function devices({ width, height, fps }) {
  const video = { width: { ideal: width }, height: { ideal: height }, frameRate: { ideal: fps } };
  // What the browser does to sound would be heard as the link's doing.
  const audio = { echoCancellation: true, noiseSuppression: false, autoGainControl: false };
  const stream = await navigator.mediaDevices.getUserMedia({ audio, video });
  return { stream, stop: () => stream.getTracks().forEach((track) => track.stop()) };
}

// A hand that goes round once in four seconds, a bar for each picture, and the time: a stall and a jump show at once.
function drawTest(context, { width, height, fps }, name, count) {
  const turn = (count / fps / 4) * 2 * Math.PI;
  const radius = Math.min(width, height) * 0.36;
  context.fillStyle = `hsl(${(count / fps) * 12} 45% 28%)`;
  context.fillRect(0, 0, width, height);
  context.fillStyle = '#ffffff';
  context.fillRect(((count * 4) % width), height - 8, 12, 8);
  context.strokeStyle = '#ffffff';
  context.lineWidth = Math.max(2, radius / 12);
  context.beginPath();
  context.arc(width / 2, height / 2, radius, 0, 2 * Math.PI);
  context.moveTo(width / 2, height / 2);
  context.lineTo(width / 2 + radius * Math.sin(turn), height / 2 - radius * Math.cos(turn));
  context.stroke();
  context.font = `${Math.max(9, height / 14)}px sans-serif`;
  context.fillText(`${name}  ${new Date().toISOString().slice(11, 22)}`, 4, Math.max(11, height / 13));
}

function fake(picture, name) {
  const canvas = document.createElement('canvas');
  canvas.width = picture.width;
  canvas.height = picture.height;
  const context = canvas.getContext('2d');
  let count = 0;
  const draw = () => drawTest(context, picture, name, count++);
  draw();
  // Animation frames stop in a tab that is not seen.
  const timer = setInterval(draw, 1000 / picture.fps);
  const stream = canvas.captureStream(picture.fps);
  // A tone that does not pause: each loss is heard. It sways, so that a stall is heard too.
  const sound = new AudioContext();
  const [tone, sway, depth, level] = [sound.createOscillator(), sound.createOscillator(), sound.createGain(), sound.createGain()];
  tone.frequency.value = 330;
  sway.frequency.value = 0.5;
  depth.gain.value = 60;
  level.gain.value = 0.15;
  const out = sound.createMediaStreamDestination();
  sway.connect(depth).connect(tone.frequency);
  tone.connect(level).connect(out);
  tone.start();
  sway.start();
  sound.resume();
  stream.addTrack(out.stream.getAudioTracks()[0]);
  const stop = () => {
    clearInterval(timer);
    stream.getTracks().forEach((track) => track.stop());
    sound.close();
  };
  return { stream, stop };
}
