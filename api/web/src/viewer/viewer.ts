// The structure in 3D. Mol*'s canvas and its cartoon only: no plugin and none of its React interface, so that nothing
// asks for styles or code that the policy forbids, and a third of the bytes are left.

import { Canvas3D, Canvas3DContext } from "molstar/lib/mol-canvas3d/canvas3d.js";
import { parsePDB } from "molstar/lib/mol-io/reader/pdb/parser.js";
import { trajectoryFromPDB } from "molstar/lib/mol-model-formats/structure/pdb.js";
import { Structure, StructureElement, StructureProperties, Unit } from "molstar/lib/mol-model/structure.js";
import type { StructureRepresentation } from "molstar/lib/mol-repr/structure/representation.js";
import { CartoonRepresentationProvider } from "molstar/lib/mol-repr/structure/representation/cartoon.js";
import { Representation } from "molstar/lib/mol-repr/representation.js";
import { UniformSizeThemeProvider } from "molstar/lib/mol-theme/size/uniform.js";
import { ColorTheme } from "molstar/lib/mol-theme/color.js";
import { SizeTheme } from "molstar/lib/mol-theme/size.js";
import { EveryLoci, Loci } from "molstar/lib/mol-model/loci.js";
import { OrderedSet } from "molstar/lib/mol-data/int.js";
import { Quat, Vec2, Vec3 } from "molstar/lib/mol-math/linear-algebra.js";
import { SyncRuntimeContext } from "molstar/lib/mol-task/execution/synchronous.js";
import { Task } from "molstar/lib/mol-task/index.js";
import { AssetManager } from "molstar/lib/mol-util/assets.js";
import { Color } from "molstar/lib/mol-util/color/index.js";
import { ErrorContext } from "molstar/lib/mol-util/error-context.js";
import { MarkerAction } from "molstar/lib/mol-util/marker-action.js";
import { resizeCanvas } from "molstar/lib/mol-canvas3d/util.js";
import { PlddtTheme } from "./theme.js";

export interface Span {
  from: number;
  to: number;
}

export interface Viewer {
  /** Draws a structure instead of the one before. */
  show(pdb: string): Promise<void>;
  /** Marks these residues, and no others. */
  select(spans: readonly Span[]): void;
  /** Marks one residue lightly, or none. */
  point(residue: number | null): void;
  /** Tells the residue beneath the pointer. */
  onPoint(listener: (residue: number | null) => void): void;
  /** Tells the residue that was clicked; null beside all of them. */
  onPick(listener: (residue: number | null) => void): void;
  /** Turns the view, radians to the right and down. */
  turn(right: number, down: number): void;
  /** Above 1 is nearer. */
  zoom(factor: number): void;
  /** All of it, as at first. */
  reset(): void;
  background(colour: number): void;
  dispose(): void;
}

/** As `--mark` in the style sheet: no band's colour, and visible on all of them. */
const MARK = Color(0xd6007f);

/** The pointer rests for so long before what is beneath it is looked up, ms. */
const POINT_AFTER = 30;

type Cartoon = StructureRepresentation<any>;

export function createViewer(canvas: HTMLCanvasElement, box: HTMLElement): Viewer {
  const assets = new AssetManager();
  const fit = () => {
    // Through the style sheet's box; Mol* asks for pixels.
    resizeCanvas(canvas, box, devicePixelRatio > 2 ? 2 / devicePixelRatio : 1);
  };
  fit();
  // "wboit" although nothing is transparent: with "blended", SMAA paints over the edges of what is marked.
  const context = Canvas3DContext.fromCanvas(canvas, assets, { preserveDrawingBuffer: true }, { transparency: "wboit" });
  const canvas3d = Canvas3D.create(context);
  // Flat light and no shadows: the colours are to be read.
  canvas3d.setProps({
    camera: { helper: { axes: { name: "off", params: {} } } },
    // SMAA smooths edges; drawing every frame several times is too slow where there is no GPU.
    multiSample: { mode: "off" },
    cameraFog: { name: "off", params: {} },
    renderer: { selectColor: MARK, highlightColor: MARK, selectStrength: 0.35, highlightStrength: 0.25 },
    marking: { selectEdgeColor: MARK, highlightEdgeColor: MARK },
    postprocessing: { occlusion: { name: "off", params: {} }, bloom: { name: "off", params: {} } },
    // Never: what is beneath the pointer is looked up below, and Mol*'s own looking would disturb that.
    interaction: { maxFps: 0 },
  });
  canvas3d.animate();
  const resized = new ResizeObserver(() => {
    fit();
    canvas3d.requestResize();
  });
  resized.observe(box);

  let structure: Structure | undefined;
  let cartoon: Cartoon | undefined;
  let selected: readonly Span[] = [];
  let pointed: number | null = null;
  const themes = { colorThemeRegistry: ColorTheme.createRegistry(), sizeThemeRegistry: SizeTheme.createRegistry() };

  const lociOf = (spans: readonly Span[]): Loci => {
    if (!structure) return EveryLoci;
    const elements: { unit: Unit; indices: OrderedSet<StructureElement.UnitIndex> }[] = [];
    for (const unit of structure.units) {
      const indices: StructureElement.UnitIndex[] = [];
      for (let i = 0; i < unit.elements.length; i++) {
        const number = residueOf(unit, i);
        if (spans.some((span) => number >= span.from && number <= span.to)) indices.push(i as StructureElement.UnitIndex);
      }
      if (indices.length) elements.push({ unit, indices: OrderedSet.ofSortedArray(indices) });
    }
    return StructureElement.Loci(structure, elements);
  };
  const residueOf = (unit: Unit, index: number): number => {
    const location = StructureElement.Location.create(structure!, unit, unit.elements[index]!);
    return StructureProperties.residue.auth_seq_id(location);
  };
  const mark = (loci: Loci, action: MarkerAction) => {
    if (cartoon) canvas3d.mark({ loci, repr: cartoon }, action);
  };
  const drawMarks = () => {
    mark(EveryLoci, MarkerAction.Deselect);
    mark(EveryLoci, MarkerAction.RemoveHighlight);
    if (selected.length) mark(lociOf(selected), MarkerAction.Select);
    if (pointed !== null) mark(lociOf([{ from: pointed, to: pointed }]), MarkerAction.Highlight);
  };
  const residueAt = ({ loci }: Representation.Loci): number | null => {
    if (!StructureElement.Loci.is(loci) || StructureElement.Loci.isEmpty(loci)) return null;
    const first = loci.elements[0]!;
    return residueOf(first.unit, OrderedSet.getAt(first.indices, 0));
  };

  /** All of it; a little nearer than Mol* goes, which leaves room for side chains. */
  const whole = (durationMs: number) =>
    canvas3d.requestCameraReset({
      durationMs,
      snapshot: ({ boundingSphereVisible: { center, radius } }, camera) => ({ ...camera.getFocus(center, 0.62 * radius), radius }),
    });

  return {
    async show(pdb) {
      const parsed = await parsePDB(pdb).run();
      if (parsed.isError) throw new Error(parsed.message);
      const trajectory = await trajectoryFromPDB(parsed.result).run();
      const model = await Task.resolveInContext(trajectory.getFrameAtIndex(0), SyncRuntimeContext);
      structure = Structure.ofModel(model);
      const custom = { runtime: SyncRuntimeContext, assetManager: assets, errorContext: new ErrorContext() };
      await CartoonRepresentationProvider.ensureCustomProperties!.attach(custom, structure);
      const next = CartoonRepresentationProvider.factory({ webgl: canvas3d.webgl, ...themes }, CartoonRepresentationProvider.getParams);
      next.setTheme({
        color: PlddtTheme.factory({ structure }, {}),
        size: UniformSizeThemeProvider.factory({ structure }, UniformSizeThemeProvider.defaultValues),
      });
      await next.createOrUpdate({ ...CartoonRepresentationProvider.defaultValues, quality: "auto" }, structure).run();
      const first = !cartoon;
      if (cartoon) {
        canvas3d.remove(cartoon);
        cartoon.destroy();
      }
      cartoon = next;
      canvas3d.add(next);
      canvas3d.commit(true);
      whole(first ? 0 : 250);
      drawMarks();
    },
    select(spans) {
      if (JSON.stringify(spans) === JSON.stringify(selected)) return;
      selected = spans;
      drawMarks();
    },
    point(residue) {
      if (residue === pointed) return;
      if (pointed !== null) mark(lociOf([{ from: pointed, to: pointed }]), MarkerAction.RemoveHighlight);
      pointed = residue;
      if (pointed !== null) mark(lociOf([{ from: pointed, to: pointed }]), MarkerAction.Highlight);
    },
    onPoint(listener) {
      // Not Mol*'s own event: where the GPU is slow (or is the CPU), it gives up after five frames and says that nothing is there.
      let timer: ReturnType<typeof setTimeout> | undefined;
      canvas.addEventListener("pointermove", ({ buttons, offsetX, offsetY }) => {
        clearTimeout(timer);
        if (buttons === 0) timer = setTimeout(() => listener(residueAt(canvas3d.getLoci(canvas3d.identify(Vec2.create(offsetX, offsetY))?.id))), POINT_AFTER);
      });
      canvas.addEventListener("pointerleave", () => {
        clearTimeout(timer);
        listener(null);
      });
    },
    onPick: (listener) => void canvas3d.interaction.click.subscribe((event) => listener(residueAt(event.current))),
    turn(right, down) {
      const { position, target, up } = canvas3d.camera.getSnapshot();
      const eye = Vec3.sub(Vec3(), position, target);
      const side = Vec3.normalize(Vec3(), Vec3.cross(Vec3(), up, eye));
      const turn = Quat.multiply(Quat(), Quat.setAxisAngle(Quat(), up, -right), Quat.setAxisAngle(Quat(), side, -down));
      Vec3.transformQuat(eye, eye, turn);
      canvas3d.camera.setState({ position: Vec3.add(Vec3(), target, eye), up: Vec3.transformQuat(Vec3(), up, turn) }, 0);
      canvas3d.requestDraw();
    },
    zoom(factor) {
      const { position, target } = canvas3d.camera.getSnapshot();
      const eye = Vec3.scale(Vec3(), Vec3.sub(Vec3(), position, target), 1 / factor);
      canvas3d.camera.setState({ position: Vec3.add(Vec3(), target, eye) }, 0);
      canvas3d.requestDraw();
    },
    reset: () => whole(250),
    background: (colour) => canvas3d.setProps({ renderer: { backgroundColor: Color(colour) } }),
    dispose() {
      resized.disconnect();
      cartoon?.destroy();
      canvas3d.dispose();
      context.dispose();
    },
  };
}
