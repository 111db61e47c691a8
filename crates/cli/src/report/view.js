"use strict";
// The chain as a ribbon: a spline through the CA atoms, wide in helices and strands, lit in WebGL,
// or drawn as depth-sorted strokes on a 2D canvas where WebGL is missing.
const colourOf = (p) => (p > 90 ? "#0053D6" : p > 70 ? "#65CBF3" : p > 50 ? "#FFDB13" : "#FF7D45");
const Vec = {
  sub: (a, b) => [a[0] - b[0], a[1] - b[1], a[2] - b[2]],
  mix: (a, b, x, y) => [a[0] * x + b[0] * y, a[1] * x + b[1] * y, a[2] * x + b[2] * y],
  dot: (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2],
  cross: (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]],
  unit: (a) => { const n = Math.hypot(...a) || 1; return [a[0] / n, a[1] / n, a[2] / n]; },
};

// Helix, strand or coil from distances between CA atoms two, three and four apart (after P-SEA, Labesse 1997).
function secondary(ca) {
  const far = (i, j) => Math.hypot(...Vec.sub(ca[i], ca[j])), kind = ca.map(() => "c");
  const near = (x, want, by) => Math.abs(x - want) <= by;
  for (let i = 0; i + 4 < ca.length; i++)
    if (near(far(i, i + 2), 5.5, 0.6) && near(far(i, i + 3), 5.3, 0.9) && near(far(i, i + 4), 6.4, 1))
      for (let k = i; k <= i + 4; k++) kind[k] = "h";
  const straight = ca.map((_, i) => i + 3 < ca.length && near(far(i, i + 2), 6.7, 0.7) && near(far(i, i + 3), 9.9, 1.2));
  for (let i = 0; i + 1 < ca.length; i++)
    if (straight[i] && straight[i + 1]) for (let k = i; k <= i + 4 && k < ca.length; k++) if (kind[k] === "c") kind[k] = "e";
  return kind;
}

// Cross sections along the chain: centre, side and up vectors, half width and height, residue.
function sections(backbone) {
  const ca = backbone.map((b) => b[1]), n = ca.length, kind = secondary(ca), steps = n > 1500 ? 4 : 8;
  const at = (list, i) => list[Math.max(0, Math.min(n - 1, i))];
  let last = null;
  const side = backbone.map((b, i) => {
    const t = Vec.unit(Vec.sub(at(ca, i + 1), at(ca, i - 1)));
    let s = Vec.sub(b[3], b[2]);
    s = Vec.unit(Vec.mix(s, t, 1, -Vec.dot(s, t)));
    if (last && Vec.dot(s, last) < 0) s = s.map((x) => -x);
    return (last = s);
  });
  // Strands zigzag from residue to residue; their middle line does not.
  const mid = ca.map((c, i) => kind[i] !== "e" ? c : Vec.mix(c, Vec.mix(at(ca, i - 1), at(ca, i + 1), 0.5, 0.5), 0.5, 0.5));
  const wide = (i) => ({ h: 1.3, e: 1.1, c: 0.32 })[kind[i]], out = [];
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < steps; k++) {
      const u = k / steps - 0.5, j = u < 0 ? i - 1 : i, t = u < 0 ? u + 1 : u;
      const [p0, p1, p2, p3] = [at(mid, j - 1), at(mid, j), at(mid, j + 1), at(mid, j + 2)];
      const point = (x) => [0, 1, 2].map((d) => 0.5 * (2 * p1[d] + (p2[d] - p0[d]) * x +
        (2 * p0[d] - 5 * p1[d] + 4 * p2[d] - p3[d]) * x * x + (3 * p1[d] - p0[d] - 3 * p2[d] + p3[d]) * x ** 3));
      const c = point(t), forward = Vec.unit(Vec.sub(point(t + 0.02), point(t - 0.02)));
      let s = Vec.mix(at(side, j), at(side, j + 1), 1 - t, t);
      s = Vec.unit(Vec.mix(s, forward, 1, -Vec.dot(s, forward)));
      let w = wide(Math.max(0, j)) * (1 - t) + wide(Math.min(n - 1, j + 1)) * t;
      if (kind[i] === "e" && kind[i + 1] !== "e") w = 1.9 * (1 - (u + 0.5)) + 0.32 * (u + 0.5); // arrow head
      const h = kind[i] === "c" ? 0.32 : 0.25;
      if ((i === 0 && u < 0) || (i === n - 1 && u > 0)) continue;
      out.push({ c, s, up: Vec.cross(forward, s), w, h, residue: i });
    }
  }
  return out;
}

const VERTEX = `attribute vec3 p,n,c;uniform mat3 turn;uniform vec3 size;varying vec3 vn,vc;varying float depth;
void main(){vec3 q=turn*p;vn=turn*n;vc=c;depth=q.z*size.z;gl_Position=vec4(q.x*size.x,q.y*size.y,-depth*.9,1.);}`;
const FRAGMENT = `precision mediump float;varying vec3 vn,vc;varying float depth;uniform vec3 fog;
void main(){vec3 n=normalize(vn);if(n.z<0.)n=-n;float l=.45+.6*max(dot(n,normalize(vec3(.3,.5,.9))),0.);
float g=pow(max(dot(n,normalize(vec3(.2,.35,.95))),0.),40.)*.22;gl_FragColor=vec4(mix(vc*l+g,fog,clamp(-depth*.5,0.,.5)),1.);}`;

function Viewer(canvas, tip, ends) {
  let gl = canvas.getContext("webgl", { antialias: true, alpha: true, preserveDrawingBuffer: true });
  const flat = gl ? null : canvas.getContext("2d");
  let turn = [1, 0, 0, 0, 1, 0, 0, 0, 1], zoom = 1, radius = 1, ring = [], model = null, letters = "", count = 0, program, waiting = false;
  const rotate = (x, y) => {
    const [cx, sx, cy, sy] = [Math.cos(x), Math.sin(x), Math.cos(y), Math.sin(y)];
    const r = [cy, 0, sy, sx * sy, cx, -sx * cy, -cx * sy, sx, cx * cy], m = turn.slice();
    for (let i = 0; i < 3; i++) for (let j = 0; j < 3; j++) turn[i * 3 + j] = r[i * 3] * m[j] + r[i * 3 + 1] * m[3 + j] + r[i * 3 + 2] * m[6 + j];
  };
  const turned = (p) => [0, 3, 6].map((k) => turn[k] * p[0] + turn[k + 1] * p[1] + turn[k + 2] * p[2]);
  const scale = () => (1.08 * zoom * Math.min(canvas.width, canvas.height)) / radius / 2;
  if (gl) {
    program = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text); gl.compileShader(shader); gl.attachShader(program, shader);
    }
    gl.linkProgram(program); gl.useProgram(program); gl.enable(gl.DEPTH_TEST);
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    ["p", "n", "c"].forEach((name, i) => {
      const place = gl.getAttribLocation(program, name);
      gl.enableVertexAttribArray(place); gl.vertexAttribPointer(place, 3, gl.FLOAT, false, 36, i * 12);
    });
  }
  const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16) / 255);
  function mesh() {
    const around = 12, data = [], corner = (q, a) => {
      const [x, y] = [Math.cos(a), Math.sin(a)];
      const p = q.c.map((c, d) => c + q.s[d] * x * q.w + q.up[d] * y * q.h);
      const n = Vec.unit(Vec.mix(q.s, q.up, x / q.w, y / q.h));
      data.push(...p, ...n, ...rgb(colourOf(model.plddt[q.residue])));
    };
    const list = [];
    for (let i = 0; i + 1 < ring.length; i++) {
      const [a, b] = [ring[i], { ...ring[i + 1], residue: ring[i].residue }];
      for (let k = 0; k < around; k++) {
        const [u, v] = [(k / around) * 2 * Math.PI, ((k + 1) / around) * 2 * Math.PI];
        for (const [q, w] of [[a, u], [b, u], [b, v], [a, u], [b, v], [a, v]]) corner(q, w);
      }
      list.push(...data.splice(0));
    }
    for (const q of ring.length ? [ring[0], ring[ring.length - 1]] : []) // caps
      for (let k = 0; k < around; k++) {
        corner({ ...q, w: 0.001, h: 0.001 }, 0);
        corner(q, (k / around) * 2 * Math.PI); corner(q, ((k + 1) / around) * 2 * Math.PI);
      }
    list.push(...data);
    count = list.length / 9;
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array(list), gl.STATIC_DRAW);
  }
  function draw() {
    waiting = false;
    const ratio = Math.min(2, window.devicePixelRatio || 1);
    const [w, h] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
    if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
    const s = scale();
    ends.forEach((end, i) => {
      const q = ring[i ? ring.length - 1 : 0];
      end.hidden = !q;
      if (!q) return;
      const p = turned(q.c), [x, y] = [(w / 2 + p[0] * s) / ratio, (h / 2 - p[1] * s) / ratio];
      end.hidden = x < 0 || y < 0 || x > canvas.clientWidth || y > canvas.clientHeight;
      end.style.transform = `translate(${x + 5}px, ${y - 18}px)`;
    });
    if (gl) {
      const dark = matchMedia("(prefers-color-scheme: dark)").matches;
      gl.viewport(0, 0, w, h); gl.clearColor(0, 0, 0, 0); gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
      const t = turn;
      gl.uniformMatrix3fv(gl.getUniformLocation(program, "turn"), false, [t[0], t[3], t[6], t[1], t[4], t[7], t[2], t[5], t[8]]);
      gl.uniform3f(gl.getUniformLocation(program, "size"), (2 * s) / w, (2 * s) / h, 1 / radius);
      gl.uniform3f(gl.getUniformLocation(program, "fog"), ...rgb(dark ? "#1a2029" : "#ffffff"));
      gl.drawArrays(gl.TRIANGLES, 0, count);
    } else if (flat) {
      flat.clearRect(0, 0, w, h); flat.lineCap = "round";
      const points = ring.map((q) => turned(q.c)), order = points.map((_, i) => i).slice(1);
      order.sort((a, b) => points[a][2] - points[b][2]);
      for (const i of order) {
        const [a, b] = [points[i - 1], points[i]], to = (p) => [w / 2 + p[0] * s, h / 2 - p[1] * s];
        for (const [colour, width] of [["#0006", 1.25], [colourOf(model.plddt[ring[i].residue]), 1]]) {
          flat.strokeStyle = colour; flat.lineWidth = Math.max(2, ring[i].w * s * 1.3) * width;
          flat.beginPath(); flat.moveTo(...to(a)); flat.lineTo(...to(b)); flat.stroke();
        }
      }
    }
  }
  const ask = () => { if (!waiting) { waiting = true; requestAnimationFrame(draw); } };
  function hover(x, y) {
    const ratio = canvas.width / canvas.clientWidth, s = scale() / ratio;
    let best = null, height = -Infinity;
    for (const q of ring) {
      const p = turned(q.c), d = Math.hypot(canvas.clientWidth / 2 + p[0] * s - x, canvas.clientHeight / 2 - p[1] * s - y);
      if (d < Math.max(6, q.w * s) && p[2] > height) { height = p[2]; best = q.residue; }
    }
    tip.textContent = best === null ? "" : `${letters[best] || ""} ${best + 1} · pLDDT ${model.plddt[best] ?? "–"}`;
  }
  const fingers = new Map();
  let spread = 0;
  canvas.addEventListener("pointerdown", (e) => { canvas.setPointerCapture(e.pointerId); fingers.set(e.pointerId, [e.clientX, e.clientY]); spread = 0; });
  const up = (e) => { fingers.delete(e.pointerId); spread = 0; };
  canvas.addEventListener("pointerup", up); canvas.addEventListener("pointercancel", up);
  canvas.addEventListener("pointermove", (e) => {
    const was = fingers.get(e.pointerId);
    if (!was) return hover(e.offsetX, e.offsetY);
    fingers.set(e.pointerId, [e.clientX, e.clientY]);
    if (fingers.size === 2) {
      const [a, b] = [...fingers.values()], now = Math.hypot(a[0] - b[0], a[1] - b[1]);
      if (spread) zoom = Math.max(0.3, Math.min(12, (zoom * now) / spread));
      spread = now;
    } else rotate((e.clientY - was[1]) * 0.01, (e.clientX - was[0]) * 0.01);
    ask();
  });
  canvas.addEventListener("dblclick", () => { turn = [1, 0, 0, 0, 1, 0, 0, 0, 1]; zoom = 1; ask(); });
  canvas.addEventListener("pointerleave", () => (tip.textContent = ""));
  const by = (f) => { zoom = Math.max(0.3, Math.min(12, zoom * f)); ask(); };
  canvas.addEventListener("wheel", (e) => { e.preventDefault(); by(Math.exp(-e.deltaY * 0.0015)); }, { passive: false });
  canvas.addEventListener("keydown", (e) => {
    const step = { ArrowLeft: [0, -0.1], ArrowRight: [0, 0.1], ArrowUp: [-0.1, 0], ArrowDown: [0.1, 0] }[e.key];
    if (step) { rotate(...step); ask(); e.preventDefault(); } else if (e.key === "+") by(1.15); else if (e.key === "-") by(1 / 1.15);
  });
  window.addEventListener("resize", ask);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", ask);
  return { show(next, sequence) {
    model = next; letters = sequence;
    // Unknown residues have no coordinates; the ribbon runs past them.
    const known = [...next.backbone.keys()].filter((i) => next.backbone[i]), chain = known.map((i) => next.backbone[i]);
    const n = chain.length || 1, mean = [0, 1, 2].map((d) => chain.reduce((t, b) => t + b[1][d], 0) / n);
    const centred = chain.map((b) => b.map((p) => Vec.sub(p, mean)));
    radius = Math.max(5, ...centred.map((b) => Math.hypot(...b[1]))) + 2;
    ring = centred.length > 1 ? sections(centred).map((q) => ({ ...q, residue: known[q.residue] })) : [];
    if (gl) mesh();
    ask();
  } };
}
