"""Writes a repository of models as an MLServer user has them, and what they answer, to expected.json."""

import json
import sys
from pathlib import Path

import joblib
import mlflow
import pandas as pd
import xgboost
from mlflow.models import infer_signature
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier

REPOSITORY = Path(sys.argv[1])
ROWS, LABELS = load_iris(return_X_y=True)
SAMPLE = ROWS[::10].astype("float32")


def settings(name, implementation, uri):
    value = {"name": name, "implementation": implementation, "parameters": {"uri": uri, "version": "v1"}}
    (REPOSITORY / name / "model-settings.json").write_text(json.dumps(value))


def sklearn_model():
    model = RandomForestClassifier(n_estimators=10, random_state=0).fit(ROWS, LABELS)
    joblib.dump(model, REPOSITORY / "forest" / "model.joblib")
    settings("forest", "mlserver_sklearn.SKLearnModel", "./model.joblib")
    return model.predict_proba(SAMPLE).tolist()


def xgboost_model():
    model = xgboost.XGBClassifier(n_estimators=5, max_depth=3).fit(ROWS, LABELS)
    model.save_model(REPOSITORY / "boosted" / "model.json")
    settings("boosted", "mlserver_xgboost.XGBoostModel", "./model.json")
    return model.predict(SAMPLE).tolist()


class Scores(mlflow.pyfunc.PythonModel):
    """Code of the user's own, which no export to another format can carry."""

    def predict(self, context, model_input, params=None):
        score = model_input["weight"] * model_input["count"] + model_input["name"].str.len()
        return pd.DataFrame({"score": score.astype("float64"), "count": model_input["count"]})


def pyfunc_model():
    frame = pd.DataFrame({"weight": [0.5, 2.0], "count": [10, 2**53 + 1], "name": ["x", "größer"]})
    model = Scores()
    answer = model.predict(None, frame)
    path = REPOSITORY / "pyfunc" / "model"
    mlflow.pyfunc.save_model(path, python_model=model, signature=infer_signature(frame, answer), pip_requirements=[])
    settings("pyfunc", "mlserver_mlflow.MLflowRuntime", "./model")
    return {"score": answer["score"].tolist(), "count": [str(value) for value in answer["count"]]}


for name in ("forest", "boosted", "pyfunc"):
    (REPOSITORY / name).mkdir(parents=True)
expected = {"sample": SAMPLE.tolist(), "forest": sklearn_model(), "boosted": xgboost_model(), "pyfunc": pyfunc_model()}
(REPOSITORY / "expected.json").write_text(json.dumps(expected))
