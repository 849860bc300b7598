// Records the microphone as a WAV file of 16 bits, by Web Audio alone.

const LONGEST_S = 60;

export class Recorder {
  static get possible() {
    return Boolean(navigator.mediaDevices?.getUserMedia && window.AudioContext);
  }

  static async start() {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1, echoCancellation: false } });
    return new Recorder(stream);
  }

  constructor(stream) {
    this.stream = stream;
    this.context = new AudioContext();
    this.parts = [];
    this.count = 0;
    // A ScriptProcessor needs no second file, which the page's policy would have to allow.
    this.node = this.context.createScriptProcessor(4096, 1, 1);
    this.node.onaudioprocess = (event) => this.take(event.inputBuffer.getChannelData(0));
    this.context.createMediaStreamSource(stream).connect(this.node);
    this.node.connect(this.context.destination);
  }

  take(samples) {
    if (this.count >= LONGEST_S * this.context.sampleRate) return;
    this.parts.push(new Float32Array(samples));
    this.count += samples.length;
  }

  async stop() {
    this.node.disconnect();
    for (const track of this.stream.getTracks()) track.stop();
    const rate = this.context.sampleRate;
    await this.context.close();
    return new File([wav(this.parts, this.count, rate)], "the recording", { type: "audio/wav" });
  }
}

// A WAV file of one channel of 16 bits (RIFF, WAVE_FORMAT_PCM).
export function wav(parts, count, rate) {
  const view = new DataView(new ArrayBuffer(44 + 2 * count));
  const letters = (at, word) => [...word].forEach((letter, place) => view.setUint8(at + place, letter.charCodeAt(0)));
  letters(0, "RIFF");
  view.setUint32(4, 36 + 2 * count, true);
  letters(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  letters(36, "data");
  view.setUint32(40, 2 * count, true);
  let at = 44;
  for (const part of parts) {
    for (const sample of part) {
      view.setInt16(at, Math.round(32767 * Math.max(-1, Math.min(1, sample))), true);
      at += 2;
    }
  }
  return view.buffer;
}
